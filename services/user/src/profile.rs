//! Making, keeping and reading profiles.

use bson::{Bson, DateTime};
use chat_kit::id::UserId;

use crate::{
    Service,
    error::Error,
    store::users::{Profile, User},
    visibility::Privacy,
};

/// What becomes of one field of a profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Edit<T> {
    /// It stays.
    #[default]
    Keep,
    /// It goes.
    Clear,
    /// It gets a value.
    Set(T),
}

impl<T: Clone + Into<Bson>> Edit<T> {
    /// Returns the same for the database.
    pub(crate) fn as_bson(&self) -> Edit<Bson> {
        match self {
            Self::Keep => Edit::Keep,
            Self::Clear => Edit::Clear,
            Self::Set(value) => Edit::Set(value.clone().into()),
        }
    }
}

/// What somebody changes in his profile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    pub(crate) name: Option<String>,
    pub(crate) bio: Edit<String>,
    pub(crate) avatar_url: Edit<String>,
    pub(crate) username: Edit<String>,
    pub(crate) date_of_birth: Edit<DateTime>,
    pub(crate) last_seen_privacy: Option<Privacy>,
}

impl Service {
    /// Changes a profile. One write, guarded by what is stored: repeated, it changes nothing more.
    pub(crate) async fn change_profile(
        &self,
        id: UserId,
        changes: &Changes,
    ) -> Result<User, Error> {
        if *changes == Changes::default() {
            return self.user(id).await;
        }
        let written = self.store.users().update(id, changes, DateTime::now()).await?;
        let (user, has_changes) = written.ok_or(Error::UserNotFound("id"))?;
        // The change is stored: whatever becomes of its announcement, the relay sees to it.
        if has_changes {
            self.outbox.announce(id.0);
        }
        Ok(user)
    }

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
