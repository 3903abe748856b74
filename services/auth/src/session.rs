//! Sessions: opened by a login, checked for every token, ended by their owner.

use bson::DateTime;
use chat_kit::{caller::Caller, id::UserId};
use chat_proto::v1::{UpsertProfileRequest, User};
use uuid::Uuid;

use crate::{
    Service,
    error::Error,
    store::sessions::{Device, NewSession},
};

/// An account that has proved to be its owner's.
pub struct Account {
    /// Id of the account.
    pub user_id: UserId,
    /// Its phone.
    pub phone: String,
    /// The name that its profile gets; the present one stays where absent.
    pub name: Option<String>,
}

/// An opened session.
pub struct Login {
    /// The signed token.
    pub token: String,
    /// Id of the session.
    pub session_id: String,
    /// When token and session expire.
    pub expires_at: DateTime,
    /// The profile.
    pub user: User,
}

impl Service {
    /// Brings the profile up to date and opens a session with its token.
    pub async fn open_session(
        &self,
        account: Account,
        device: Device,
        request_id: &str,
    ) -> Result<Login, Error> {
        let user_id = account.user_id;
        let user = self.upsert_profile(account, request_id).await?;
        let now = DateTime::now();
        let session_id = Uuid::new_v4().to_string();
        let signed = self.signer.sign(user_id, &session_id, now)?;
        let session = NewSession {
            session_id: &session_id,
            user_id,
            device,
            created_at: now,
            expires_at: signed.expires_at,
        };
        self.store.sessions.insert(session).await?;
        Ok(Login { token: signed.token, session_id, expires_at: signed.expires_at, user })
    }

    /// Returns when the session of a token expires, nothing for a token without session; fails where
    /// the token must not be used any more.
    pub async fn session_expiry(
        &self,
        user_id: UserId,
        session_id: Option<&str>,
    ) -> Result<Option<DateTime>, Error> {
        let now = DateTime::now();
        let Some(session_id) = session_id else {
            return self.check_sessionless(user_id, now).await.map(|()| None);
        };
        // Without waiting for the TTL index, which lags by a minute and more.
        match self.store.sessions.find(session_id).await? {
            Some(session) if session.is_live(user_id, now) => Ok(Some(session.expires_at)),
            _ => Err(Error::InvalidSession),
        }
    }

    /// Ends a session; one that is over already or never was stays so.
    pub async fn end_session(
        &self,
        user_id: UserId,
        session_id: Option<&str>,
    ) -> Result<(), Error> {
        let session_id = session_id.ok_or(Error::NoSession)?;
        let sessions = &self.store.sessions;
        sessions.revoke(session_id, user_id, DateTime::now()).await?;
        Ok(())
    }

    async fn check_sessionless(&self, user_id: UserId, now: DateTime) -> Result<(), Error> {
        if self.sessionless_until.is_some_and(|until| until <= now) {
            return Err(Error::InvalidSession);
        }
        if !self.store.credentials.has_account(user_id).await? {
            return Err(Error::UserNotFound);
        }
        Ok(())
    }

    async fn upsert_profile(&self, account: Account, request_id: &str) -> Result<User, Error> {
        let request = UpsertProfileRequest {
            user_id: account.user_id.to_string(),
            phone: account.phone,
            name: account.name,
        };
        let request = Caller::service("auth", request_id).request(request);
        let answer = self.users.clone().upsert_profile(request).await;
        let profile = answer.map_err(Error::Users)?.into_inner().user;
        profile.ok_or(Error::NoProfile)
    }
}
