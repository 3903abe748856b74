//! Registration by one-time password: a phone without an account gets one, with a name.

use bson::DateTime;

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
        let Registration { name, attempt } = registration;
        let proof = self.consume(&attempt, now).await?;
        let inserted = self.store.credentials.insert(&proof.phone, now).await?;
        let account = Account {
            user_id: inserted.ok_or(Error::PhoneTaken)?,
            phone: proof.phone,
            name: Some(name),
        };
        self.open_session(account, attempt.device, request_id).await
    }
}
