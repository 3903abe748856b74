//! Registration by one-time password: a phone without an account gets one, with a name.

use bson::DateTime;
use chat_kit::config::Secret;

use crate::{
    Service,
    error::Error,
    otp::Attempt,
    session::{Account, Login},
};

/// A checked registration.
pub struct Registration {
    /// Name of the new account.
    pub name: String,
    /// Password of the new account, without the blanks around it.
    pub password: Option<Secret>,
    /// The try of the code.
    pub attempt: Attempt,
}

impl Service {
    /// Consumes a registration code, makes the account and opens a session. An account that was made
    /// meanwhile wins. After a crash behind the insertion the account exists, and its owner logs in.
    pub async fn register(
        &self,
        registration: Registration,
        request_id: &str,
    ) -> Result<Login, Error> {
        let now = DateTime::now();
        let Registration { name, password, attempt } = registration;
        // Before the code is used up: overload must not cost it.
        let hashing = match password {
            Some(password) => Some((self.hashing.place()?, password)),
            None => None,
        };
        let proof = self.consume(&attempt, now).await?;
        let password_hash = match hashing {
            Some((place, password)) => Some(place.hash(password).await?),
            None => None,
        };
        let inserted = self.store.credentials.insert(&proof.phone, password_hash, now).await?;
        let account = Account {
            user_id: inserted.ok_or(Error::PhoneTaken)?,
            phone: proof.phone,
            name: Some(name),
        };
        self.open_session(account, attempt.device, request_id).await
    }
}
