//! Who is a partner of whom: those who share an active direct conversation, or a group that is not large.
//! Partners hear of each other's profile and presence.

use std::collections::HashSet;

use chat_kit::id::UserId;

use crate::{Service, error::Error};

/// Most partners of one answer, and most conversations that are looked at for it.
const MOST_PARTNERS: u32 = 5000;

impl Service {
    /// Returns those of some users who are partners of `user`, in their order.
    pub(crate) async fn filter_partners(
        &self,
        user: UserId,
        mut others: Vec<UserId>,
    ) -> Result<Vec<UserId>, Error> {
        let mut seen = HashSet::from([user]);
        others.retain(|other| seen.insert(*other));
        if others.is_empty() {
            return Ok(others);
        }
        let stored = self.store.partners();
        let direct = stored.in_direct(user, &others);
        let (direct, grouped) = tokio::try_join!(direct, stored.in_groups(user, &others))?;
        let partners: HashSet<UserId> = direct.into_iter().chain(grouped).collect();
        others.retain(|other| partners.contains(other));
        Ok(others)
    }

    /// Returns the partners of `user`, whoever shares the conversation of the newest message first.
    pub(crate) async fn list_partners(
        &self,
        user: UserId,
        limit: u32,
    ) -> Result<Vec<UserId>, Error> {
        let limit = match limit {
            0 => MOST_PARTNERS,
            limit => limit.min(MOST_PARTNERS),
        };
        let members = self.store.partners().newest(user, MOST_PARTNERS).await?;
        let mut seen = HashSet::from([user]);
        let partners = members.into_iter().filter(|member| seen.insert(*member));
        Ok(partners.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }
}
