//! Login by one-time password: the account of the phone, made where there is none, gets a session.

use bson::DateTime;

use crate::{
    Service,
    error::Error,
    otp::Attempt,
    session::{Account, Login},
};

impl Service {
    /// Consumes a login code and opens a session. The account is written before the profile; a process
    /// that dies in between leaves a profile to be made at the next login.
    pub async fn log_in(&self, attempt: Attempt, request_id: &str) -> Result<Login, Error> {
        let now = DateTime::now();
        let proof = self.consume(&attempt, now).await?;
        let credentials = &self.store.credentials;
        let account = Account {
            user_id: credentials.find_or_create(&proof.phone, now).await?,
            phone: proof.phone,
            name: proof.name,
        };
        self.open_session(account, attempt.device, request_id).await
    }
}
