//! Making, keeping and reading profiles.

use bson::DateTime;
use chat_kit::id::UserId;

use crate::{
    Service,
    error::Error,
    store::users::{Profile, User},
};

impl Service {
    /// Makes the profile of an account or brings it up to date. One write by id, so that a repetition,
    /// or another replica at the same time, changes nothing more.
    pub(crate) async fn keep_profile(&self, profile: &Profile) -> Result<User, Error> {
        let now = DateTime::now();
        let kept = self.store.users().upsert(profile, now).await?;
        tracing::debug!(user_id = %kept.id, "profile kept");
        Ok(kept)
    }

    /// Returns one profile.
    pub(crate) async fn user(&self, id: UserId) -> Result<User, Error> {
        let user = self.store.users().by_id(id).await?;
        user.ok_or(Error::UserNotFound("id"))
    }

    /// Returns the profiles that exist among `ids`, in one read.
    pub(crate) async fn users(&self, ids: &[UserId]) -> Result<Vec<User>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.store.users().by_ids(ids).await
    }
}
