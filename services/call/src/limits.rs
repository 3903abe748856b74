//! How often calls may be placed. The counts are in the store, so that they hold for all replicas; where it
//! does not answer, nobody calls.

use std::{num::NonZeroU32, time::Duration};

use bson::DateTime;
use chat_kit::{id::UserId, limit::Limit};

use crate::{Service, error::Error};

const MINUTE: Duration = Duration::from_mins(1);
const TEN_MINUTES: Duration = Duration::from_mins(10);

impl Service {
    /// Counts a call. The caller's own counts come first: one that has had its share uses up none of the
    /// others.
    pub(crate) async fn count_call(
        &self,
        by: UserId,
        peer: UserId,
        now: DateTime,
    ) -> Result<(), Error> {
        let limits = &self.limits;
        for (key, count, window) in [
            (format!("calls:minute:{by}"), limits.calls_per_minute, MINUTE),
            (format!("calls:ten_minutes:{by}"), limits.calls_per_ten_minutes, TEN_MINUTES),
            (format!("calls:pair:{by}:{peer}"), limits.calls_per_pair, TEN_MINUTES),
        ] {
            let taken = self.store.limits().take(&key, limit(count, window), now).await?;
            taken.ok_or(Error::TooManyCalls)?;
        }
        Ok(())
    }
}

fn limit(count: NonZeroU32, window: Duration) -> Limit {
    Limit { count: count.get(), window }
}
