//! Messages on their way into `messages`: those that are due together are stored by one command. Inside
//! a conversation they come one after the other, so these are of different conversations.

use std::{num::NonZeroUsize, sync::Arc};

use chat_kit::{
    batch::{Batches, Bounds},
    mongo::{MongoError, OPERATION_TIMEOUT, within},
};
use mongodb::Collection;

use super::messages::{CLIENT_ID_INDEX, ID_INDEX, Inserted, Message, SEQ_INDEX};

/// Two commands side by side: the second is put together while the first waits for the journals of a
/// majority. More would only make them smaller.
const BOUNDS: Bounds = Bounds {
    under_way: NonZeroUsize::new(2).expect("not zero"),
    // Not half of the 48 MB that a command may have, with the longest texts there can be.
    at_once: NonZeroUsize::new(64).expect("not zero"),
    waiting: 8192,
    // A command before it, and its own.
    patience: OPERATION_TIMEOUT.saturating_mul(2),
};

/// The way into the collection, and how each insert went.
pub(super) type Inserts = Batches<Arc<Message>, Result<Inserted, MongoError>>;

/// Describes the way into a collection.
pub(super) fn inserts(collection: &Collection<Message>) -> Inserts {
    let collection = collection.clone();
    Batches::new(BOUNDS, move |messages| insert(collection.clone(), messages))
}

/// Stores messages, of which each may be refused for itself. When the command fails, nothing is known of
/// any of them.
async fn insert(
    collection: Collection<Message>,
    messages: Vec<Arc<Message>>,
) -> Vec<Result<Inserted, MongoError>> {
    let count = messages.len();
    let inserting = collection.insert_many(messages).ordered(false);
    let Err(error) = within(inserting).await else {
        return vec![Ok(Inserted::Stored); count];
    };
    let Some(refused) = error.refused() else {
        return vec![Err(error); count];
    };
    let mut outcomes = vec![Ok(Inserted::Stored); count];
    for (place, index) in refused {
        if let Some(outcome) = outcomes.get_mut(place) {
            *outcome = taken(index).ok_or_else(|| error.clone());
        }
    }
    outcomes
}

/// Says what is taken when a unique index refuses a message.
fn taken(index: Option<&str>) -> Option<Inserted> {
    match index? {
        ID_INDEX => Some(Inserted::IdTaken),
        CLIENT_ID_INDEX => Some(Inserted::ClientIdTaken),
        SEQ_INDEX => Some(Inserted::SeqTaken),
        _ => None,
    }
}
