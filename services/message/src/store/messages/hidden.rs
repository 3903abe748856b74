//! Which messages of a conversation somebody does not see. They are few, have an index of their own, and
//! the pages of a history are counted around them.

use bson::doc;
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{MongoError, WHOLE, within},
};
use futures_util::TryStreamExt as _;
use mongodb::options::Hint;
use serde::Deserialize;

use super::{HIDDEN_INDEX, Messages};

/// Most deleted messages of a conversation that pages are counted around, the newest ones. Before the
/// oldest of these a page may be shorter than was asked for.
const MOST_HIDDEN: i64 = 10_000;

/// The numbers that somebody does not see, highest first.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    numbers: Vec<i64>,
}

impl Messages {
    /// Returns the numbers above `after` that a reader does not see.
    pub async fn hidden_from(
        &self,
        reader: UserId,
        conversation: ConversationId,
        after: i64,
    ) -> Result<Hidden, MongoError> {
        #[derive(Deserialize)]
        struct Numbered {
            seq: i64,
        }
        let filter = doc! {
            "conversation_id": conversation,
            "seq": { "$gt": after },
            "is_hidden": true,
            "$or": [{ "deleted_at": { "$exists": true } }, { "deleted_for": reader }],
        };
        let numbers = self.collection.clone_with_type::<Numbered>();
        let found = numbers
            .find(filter)
            .sort(doc! { "seq": -1 })
            .limit(MOST_HIDDEN)
            .projection(doc! { "_id": 0, "seq": 1 })
            .batch_size(WHOLE)
            .hint(Hint::Name(HIDDEN_INDEX.to_owned()));
        let found: Vec<Numbered> = within(async { found.await?.try_collect().await }).await?;
        Ok(Hidden { numbers: found.into_iter().map(|found| found.seq).collect() })
    }
}

impl Hidden {
    /// Forgets what lies behind a number.
    pub fn cut(&mut self, last: i64) {
        self.numbers.retain(|number| *number <= last);
    }

    /// Returns how many there are.
    #[must_use]
    pub fn count(&self) -> i64 {
        i64::try_from(self.numbers.len()).unwrap_or(i64::MAX)
    }

    /// Returns the number below which everything is left when `count` seen ones are taken, from `to`
    /// downwards.
    #[must_use]
    pub fn down(&self, to: i64, count: i64) -> i64 {
        let mut end = to.saturating_sub(count);
        for number in self.numbers.iter().filter(|number| **number <= to) {
            if *number <= end {
                break;
            }
            end = end.saturating_sub(1);
        }
        end
    }

    /// Returns the number up to which `count` seen ones are taken, from behind `after` upwards.
    #[must_use]
    pub fn up(&self, after: i64, count: i64) -> i64 {
        let mut end = after.saturating_add(count);
        for number in self.numbers.iter().rev().filter(|number| **number > after) {
            if *number > end {
                break;
            }
            end = end.saturating_add(1);
        }
        end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hidden() -> Hidden {
        Hidden { numbers: vec![9, 8, 5, 2] }
    }

    #[test]
    fn pages_are_counted_around_what_is_hidden() {
        let hidden = hidden();
        for (to, count, end) in [
            (10, 1, 9),
            (10, 2, 6),
            (9, 1, 6),
            (10, 3, 5),
            (10, 4, 3),
            (10, 6, 0),
            (4, 2, 2),
            (0, 3, -3),
        ] {
            let end_found = hidden.down(to, count);
            let seen =
                (end_found.max(0) + 1..=to).filter(|seq| !hidden.numbers.contains(seq)).count();
            assert!(i64::try_from(seen).expect("few") <= count);
            assert_eq!(end_found, end, "{count} from {to} downwards");
        }
        for (after, count, end) in
            [(0, 1, 1), (0, 2, 3), (4, 1, 6), (6, 2, 10), (1, 1, 3), (9, 2, 11)]
        {
            assert_eq!(hidden.up(after, count), end, "{count} behind {after}");
        }
    }
}
