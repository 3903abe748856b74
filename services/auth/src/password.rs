//! Login by password. Who is unknown, who has no password, and who gives a wrong one are not told
//! apart, neither by a word nor by the time it takes.

use bson::DateTime;
use chat_kit::{caller::Caller, config::Secret, id::UserId};
use chat_proto::v1::FindUserIdsByNameRequest;
use tokio::time::Instant;

use crate::{
    Service,
    error::Error,
    hashing::Checked,
    session::{Account, Login},
    store::{credentials::Credentials, sessions::Device},
};

/// Who wants to log in.
pub struct Identifier {
    /// What he wrote, as a name.
    pub name: String,
    /// The same as a phone, where it can be one.
    pub phone: Option<String>,
}

/// A checked login by password.
pub struct PasswordLogin {
    /// Who wants to log in.
    pub identifier: Identifier,
    /// His password, without the blanks around it.
    pub password: Secret,
    /// Where the login comes from.
    pub device: Device,
}

impl Service {
    /// Verifies a password and opens a session.
    pub async fn log_in_by_password(
        &self,
        login: PasswordLogin,
        request_id: &str,
    ) -> Result<Login, Error> {
        let refused_at = Instant::now() + self.passwords.failure_time;
        let account = match self.verify_password(&login, request_id).await {
            Err(Error::InvalidCredentials) => {
                tokio::time::sleep_until(refused_at).await;
                return Err(Error::InvalidCredentials);
            }
            account => account?,
        };
        self.open_session(account, login.device, request_id).await
    }

    /// Takes one of the failures that are left before it looks, so that parallel guesses cannot exceed
    /// the limits; only a refusal uses it up.
    async fn verify_password(
        &self,
        login: &PasswordLogin,
        request_id: &str,
    ) -> Result<Account, Error> {
        let now = DateTime::now();
        let of_address = self.reserve_failure(&login.device.address, now).await?;
        let of_identifier = self.reserve_wrong_password(&login.identifier, now).await?;
        let account = self.account_by_password(login, request_id).await;
        if !matches!(account, Err(Error::InvalidCredentials)) {
            self.give_back([Some(of_identifier), of_address]).await;
        }
        account
    }

    async fn account_by_password(
        &self,
        login: &PasswordLogin,
        request_id: &str,
    ) -> Result<Account, Error> {
        let place = self.hashing.place()?;
        let found = self.find_account(&login.identifier, request_id).await?;
        let stored = found.as_ref().and_then(|account| account.password_hash.clone());
        let checked = place.check(login.password.clone(), stored).await?;
        let Some(account) = found else { return Err(Error::InvalidCredentials) };
        let checked = checked.map_err(|source| Error::BadHash { user_id: account.id, source })?;
        let Checked::Right { replacement } = checked else {
            return Err(Error::InvalidCredentials);
        };
        if let Some(replacement) = replacement {
            self.replace_hash(&account, &replacement).await;
        }
        Ok(Account { user_id: account.id, phone: account.phone, name: None })
    }

    /// Finds the account of a phone, else of a name that nobody else has. Looks for both in any case, and
    /// for an account also behind a name that is nobody's: what is found does not change the time.
    async fn find_account(
        &self,
        identifier: &Identifier,
        request_id: &str,
    ) -> Result<Option<Credentials>, Error> {
        let by_phone = async {
            let Some(phone) = &identifier.phone else { return Ok(None) };
            Ok(self.store.credentials.find_by_phone(phone).await?)
        };
        let by_name = async {
            let id = self.only_user_of_name(&identifier.name, request_id).await?;
            Ok::<_, Error>(self.store.credentials.find(id.unwrap_or_else(UserId::new)).await?)
        };
        let (by_phone, by_name) = tokio::try_join!(by_phone, by_name)?;
        Ok(by_phone.or(by_name))
    }

    async fn only_user_of_name(
        &self,
        name: &str,
        request_id: &str,
    ) -> Result<Option<UserId>, Error> {
        let request = FindUserIdsByNameRequest { name: name.to_owned() };
        let request = Caller::service("auth", request_id).request(request);
        let found = self.users.clone().find_user_ids_by_name(request).await;
        let ids = found.map_err(Error::Users)?.into_inner().user_ids;
        let [id] = ids.as_slice() else { return Ok(None) };
        id.parse().map(Some).map_err(|_| Error::BadAnswer("an id"))
    }

    /// Stores a new hash in place of the one verified. A password that was changed meanwhile stays; a
    /// failure leaves the old hash to the next login.
    async fn replace_hash(&self, account: &Credentials, replacement: &str) {
        let Some(verified) = &account.password_hash else { return };
        let credentials = &self.store.credentials;
        match credentials.replace_hash(account.id, verified, replacement).await {
            Ok(()) => tracing::info!(user_id = %account.id, "hash of a password replaced"),
            Err(error) => tracing::warn!(%error, user_id = %account.id, "hash not replaced"),
        }
    }
}
