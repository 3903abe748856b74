//! Who is a partner of whom: those who share an active direct conversation, or a group that is not large.
//! Partners hear of each other's profile and presence.

use std::collections::HashSet;

use chat_kit::id::UserId;

use crate::{Service, error::Error};

/// Most partners of one answer, and most conversations that are looked at for it.
const MOST_PARTNERS: u32 = 5000;

/// Who is a partner of somebody, and from whom a block keeps him apart.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The partners, each once.
    pub(crate) partners: Vec<UserId>,
    /// Those who blocked him or whom he blocked, each once.
    pub(crate) blocked: Vec<UserId>,
}

impl Service {
    /// Returns those of some users who are partners of `user`, in their order, and those of them who are
    /// blocked.
    pub(crate) async fn filter_partners(
        &self,
        user: UserId,
        mut others: Vec<UserId>,
    ) -> Result<Known, Error> {
        let mut seen = HashSet::from([user]);
        others.retain(|other| seen.insert(*other));
        if others.is_empty() {
            return Ok(Known::default());
        }
        let stored = self.store.partners();
        let (direct, grouped, blocked) = tokio::try_join!(
            stored.in_direct(user, &others),
            stored.in_groups(user, &others),
            self.blocked_among(user, &others),
        )?;
        let partners: HashSet<UserId> = direct.into_iter().chain(grouped).collect();
        others.retain(|other| partners.contains(other));
        Ok(Known { partners: others, blocked })
    }

    /// Returns the partners of `user`, whoever shares the conversation of the newest message first, and
    /// those of them who are blocked.
    pub(crate) async fn list_partners(&self, user: UserId, limit: u32) -> Result<Known, Error> {
        let limit = match limit {
            0 => MOST_PARTNERS,
            limit => limit.min(MOST_PARTNERS),
        };
        let members = self.store.partners().newest(user, MOST_PARTNERS).await?;
        let mut seen = HashSet::from([user]);
        let partners = members.into_iter().filter(|member| seen.insert(*member));
        let partners: Vec<UserId> =
            partners.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect();
        let blocked = self.blocked_among(user, &partners).await?;
        Ok(Known { partners, blocked })
    }

    async fn blocked_among(&self, user: UserId, others: &[UserId]) -> Result<Vec<UserId>, Error> {
        if others.is_empty() {
            return Ok(Vec::new());
        }
        let mut blocked = self.store.blocks().among(user, others).await?;
        let mut seen = HashSet::new();
        blocked.retain(|other| seen.insert(*other));
        Ok(blocked)
    }
}
