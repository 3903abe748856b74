//! Cursors that have moved and of which the members have not heard yet: each stands in its receipt, written
//! by the update that moves the cursor, until the stream of events has it.

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{
    id::{ConversationId, UserId},
    mongo::{MongoError, within},
};
use mongodb::options::{Hint, ReturnDocument};
use serde::{Deserialize, Serialize};

use super::{Receipts, parse};
use crate::error::Error;

/// Advances of a receipt that wait until further ones of a cursor are put together with those before: while
/// NATS is away, somebody may read on for hours.
const MOST_WAITING: i32 = 16;

/// What moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cursor {
    /// How far somebody has read.
    Read,
    /// How much has been delivered to him.
    Delivered,
}

impl Cursor {
    /// Returns the cursor as it is stored, and stands in the ids of events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Delivered => "delivered",
        }
    }

    fn field(self) -> &'static str {
        match self {
            Self::Read => "$read_seq",
            Self::Delivered => "$delivered_seq",
        }
    }
}

/// A cursor's move that is to be made, wherever it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    id: ObjectId,
    cursor: Cursor,
    to: i64,
    to_at: DateTime,
    moved_at: DateTime,
}

impl Step {
    /// Describes a move to the message with a number, and when that was stored.
    #[must_use]
    pub fn new(cursor: Cursor, (to, to_at): (i64, DateTime), now: DateTime) -> Self {
        Self { id: ObjectId::new(), cursor, to, to_at, moved_at: now }
    }

    /// Returns the advance that it makes of a cursor that stands at `after`.
    #[must_use]
    pub fn from(&self, after: i64) -> Advance {
        let &Self { id, cursor, to, to_at, moved_at } = self;
        Advance { id, cursor, after, to, to_at, moved_at }
    }

    /// Says whether an advance is the one that it made.
    pub(super) fn is_of(&self, advance: &Advance) -> bool {
        advance.id == self.id
    }

    /// Returns its number, and when the message with it was stored.
    pub(super) fn target(&self) -> (i64, DateTime) {
        (self.to, self.to_at)
    }

    /// Returns what is to be announced of a receipt behind the move: what was before it, and its advance where
    /// the cursor moves at all.
    pub(super) fn noted(&self) -> Document {
        let before = doc! { "$ifNull": [self.cursor.field(), 0_i64] };
        let entry = |after: &Document| {
            doc! {
                "_id": self.id, "cursor": self.cursor.as_str(), "after": after, "to": self.to,
                "to_at": self.to_at, "moved_at": self.moved_at, "at": self.moved_at,
            }
        };
        let of_cursor = |is_own: bool| {
            let compare = if is_own { "$eq" } else { "$ne" };
            let condition = doc! { compare: ["$$this.cursor", self.cursor.as_str()] };
            doc! { "$filter": { "input": "$$waiting", "cond": condition } }
        };
        let begins = doc! { "$map": { "input": of_cursor(true), "in": "$$this.after" } };
        let earliest = doc! { "$min": [{ "$min": begins }, &before] };
        let appended = doc! { "$concatArrays": ["$$waiting", [entry(&before)]] };
        let together = doc! { "$concatArrays": [of_cursor(false), [entry(&earliest)]] };
        let is_full = doc! { "$gte": [{ "$size": "$$waiting" }, MOST_WAITING] };
        let noted = doc! { "$let": {
            "vars": { "waiting": { "$ifNull": ["$outbox", []] } },
            "in": { "$cond": [is_full, together, appended] },
        } };
        doc! { "$cond": [{ "$gt": [self.to, &before] }, noted, "$outbox"] }
    }
}

/// A cursor's move that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Advance {
    /// Its own id.
    #[serde(rename = "_id")]
    pub id: ObjectId,
    /// What has moved.
    pub cursor: Cursor,
    /// Number where the cursor stood.
    pub after: i64,
    /// Number where it stands since.
    pub to: i64,
    /// When the message with that number was stored.
    pub to_at: DateTime,
    /// When the cursor moved.
    pub moved_at: DateTime,
}

/// An advance, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The conversation.
    pub conversation_id: ConversationId,
    /// Whose cursor has moved.
    pub user_id: UserId,
    /// Which, and how far.
    pub advance: Advance,
}

/// A receipt of which something is still to be announced.
#[derive(Clone, Debug, Deserialize)]
pub struct LeftBehind {
    conversation_id: ConversationId,
    user_id: UserId,
    outbox: Vec<Advance>,
}

impl LeftBehind {
    /// Returns what is to be announced, in its order.
    pub fn moved(&self) -> impl Iterator<Item = Moved> {
        let &Self { conversation_id, user_id, .. } = self;
        self.outbox.iter().map(move |&advance| Moved { conversation_id, user_id, advance })
    }
}

impl Receipts {
    /// Takes up the receipt with the oldest advance that has been waiting since before `cutoff`, so that no
    /// other relay takes it up before as much time has passed again.
    pub async fn claim(
        &self,
        cutoff: DateTime,
        now: DateTime,
    ) -> Result<Option<LeftBehind>, Error> {
        let claim = self
            .collection
            .find_one_and_update(
                doc! { "outbox.at": { "$lt": cutoff } },
                doc! { "$set": { "outbox.$[].at": now } },
            )
            // By the order of the index alone, as it holds arrays.
            .hint(Hint::Keys(doc! { "outbox.at": 1 }))
            .return_document(ReturnDocument::Before);
        within(claim).await?.map(parse).transpose()
    }

    /// Takes advances that are announced out of their receipts. One that was put together with earlier ones
    /// meanwhile stays: of those nobody has heard.
    pub async fn pull(&self, announced: &[Moved]) -> Result<(), MongoError> {
        let statements = announced.iter().map(|moved| {
            let advance = &moved.advance;
            let own = doc! { "_id": advance.id, "after": advance.after };
            doc! {
                "q": { "conversation_id": moved.conversation_id, "user_id": moved.user_id },
                "u": { "$pull": { "outbox": own } },
            }
        });
        let outcome = self.update(statements.collect()).await?;
        outcome.refused.into_iter().next().map_or(Ok(()), |(_, error)| Err(error))
    }
}
