//! Who keeps apart from whom. The blocks say it; the direct conversation of the two repeats it, so that one
//! read decides who may write there.
//!
//! A block is stored first, and its conversation is closed after it. Whoever makes a conversation looks for
//! blocks once it is stored. So one of both sees what the other has done: had neither, the block would have
//! been stored after the look and the conversation after the closing, each of which comes later than the
//! other. What a process that died leaves undone, the next call or the announcement does.
//!
//! A block itself is told to nobody. But it hides the two from each other, and where they are partners, they
//! are told what each sees of the other from then on, as of any other change of it.

use bson::{DateTime, oid::ObjectId};
use chat_kit::{
    caller::{Caller, new_request_id},
    client::Channel,
    id::{ConversationId, UserId},
    outbox::{Entry, Outbox},
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    GetUserRequest, RestatePresenceRequest, user_service_client::UserServiceClient,
};
use serde::{Deserialize, Serialize};

use crate::{
    Service, announce,
    error::Error,
    store::{
        self, Store,
        blocks::{self, Block, Pair, Place, Stored},
    },
};

/// How often a conversation is compared with the blocks that others change meanwhile.
const ATTEMPTS: usize = 8;

/// What became of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Change {
    /// It was made.
    Made,
    /// It was lifted.
    Lifted,
}

/// A page of one's blocks.
pub(crate) struct ListedBlocks {
    pub(crate) blocks: Vec<Block>,
    /// Whether there is another page.
    pub(crate) goes_on: bool,
}

impl Service {
    /// Keeps a user apart from another one, who must exist.
    pub(crate) async fn block(
        &self,
        caller: &Caller,
        user: UserId,
        blocked: UserId,
    ) -> Result<(), Error> {
        if user == blocked {
            return Err(Error::OwnBlock);
        }
        let request = caller
            .for_service(crate::NAME)
            .request(GetUserRequest { user_id: blocked.to_string() });
        self.users.clone().get_user(request).await.map_err(Error::User)?;
        let made = self.store.blocks().insert(user, blocked, DateTime::now()).await?;
        self.settle(user, blocked).await?;
        self.blocks.announce(made);
        Ok(())
    }

    /// Lifts a user's block of another one.
    pub(crate) async fn unblock(&self, user: UserId, blocked: UserId) -> Result<(), Error> {
        if user == blocked {
            return Err(Error::OwnBlock);
        }
        let lifted = self.store.blocks().lift(user, blocked, DateTime::now()).await?;
        self.settle(user, blocked).await?;
        if let Some(lifted) = lifted {
            self.blocks.announce(lifted);
        }
        Ok(())
    }

    /// Returns the first `limit` blocks of a user behind a place.
    pub(crate) async fn list_blocked(
        &self,
        user: UserId,
        after: Option<Place>,
        limit: u32,
    ) -> Result<ListedBlocks, Error> {
        // One more than wanted tells whether the list goes on.
        let mut blocks = self.store.blocks().page(user, after, limit.saturating_add(1)).await?;
        let size = usize::try_from(limit).unwrap_or(usize::MAX);
        let goes_on = blocks.len() > size;
        blocks.truncate(size);
        Ok(ListedBlocks { blocks, goes_on })
    }

    /// Closes a direct conversation that was made just now where a block came while it was made; refuses it
    /// then.
    pub(crate) async fn close_if_blocked(&self, user: UserId, other: UserId) -> Result<(), Error> {
        let blocks = self.settle(user, other).await?;
        if blocks.is_empty() { Ok(()) } else { Err(Error::Blocked) }
    }

    /// Settles the blocks between two users, and lets gateways know at once of what that changes.
    async fn settle(&self, one: UserId, other: UserId) -> Result<Vec<ObjectId>, Error> {
        let Settled { blocks, changed } = settle(&self.store, one, other).await?;
        if let Some(changed) = changed {
            self.outbox.announce(changed.0);
        }
        Ok(blocks)
    }
}

/// Returns what has partners told that they see each other's presence no more, or again.
pub(crate) fn outbox(
    store: &Store,
    users: UserServiceClient<Channel>,
    life: &Lifecycle,
) -> Outbox<Change> {
    let documents = store.blocks().documents();
    let store = store.clone();
    Outbox::new(documents, life, move |document, entry: Entry<Change>| {
        let (store, mut users) = (store.clone(), users.clone());
        async move {
            let block: Stored = store::read(blocks::COLLECTION, &document)?;
            let Pair { blocker_id, blocked_id } = block.pair();
            let standing = settle(&store, blocker_id, blocked_id).await?.blocks;
            if tells(block.id, entry.change, &standing)
                && store.partners().are_but_for_blocks(blocker_id, blocked_id).await?
            {
                let request = RestatePresenceRequest {
                    user_id: blocker_id.to_string(),
                    other_id: blocked_id.to_string(),
                };
                let caller = Caller::service(crate::NAME, &new_request_id());
                users.restate_presence(caller.request(request)).await?;
            }
            // Nothing comes behind the end of a block.
            if entry.change == Change::Lifted {
                store.blocks().forget(block.id).await?;
            }
            Ok(())
        }
    })
}

/// Says whether a change of a block changes what the two see, while these blocks stand. Of two blocks, the
/// one with the smaller id hides and the one that is lifted last shows: whoever kept apart already is not to
/// learn that the other one does so as well.
fn tells(block: ObjectId, change: Change, standing: &[ObjectId]) -> bool {
    match change {
        Change::Made => standing.iter().min().is_some_and(|first| *first >= block),
        Change::Lifted => standing.is_empty(),
    }
}

/// What stands between two users.
struct Settled {
    /// Ids of the blocks.
    blocks: Vec<ObjectId>,
    /// Their direct conversation, where it said something else.
    changed: Option<ConversationId>,
}

/// Makes the direct conversation of two users, if they have one, say what the blocks between them do.
///
/// The conversation is read before the blocks. A block of it that is not there any more was lifted, and
/// for good, since no block has its id again. One that is missing in it is added, and looked for once
/// more: it might have been lifted between the two, by somebody who found nothing to take out.
async fn settle(store: &Store, one: UserId, other: UserId) -> Result<Settled, Error> {
    let mut changed = None;
    for _ in 0..ATTEMPTS {
        let found = store.conversations().direct(one, other).await?;
        let blocks = store.blocks().of_pair(one, other).await?;
        let Some(found) = found else {
            return Ok(Settled { blocks, changed });
        };
        let missing = without(&blocks, &found.block_ids);
        let lifted = without(&found.block_ids, &blocks);
        if missing.is_empty() && lifted.is_empty() {
            return Ok(Settled { blocks, changed });
        }
        let change = announce::Change::new(announce::ChangeKind::BlocksChanged, one);
        let notice = Entry::new(change, DateTime::now());
        store.conversations().exchange_blocks(found.id, &missing, &lifted, &notice).await?;
        changed = Some(found.id);
    }
    Err(Error::BlockContended)
}

fn without(ids: &[ObjectId], others: &[ObjectId]) -> Vec<ObjectId> {
    ids.iter().filter(|id| !others.contains(id)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_block_of_a_pair_tells_nothing() {
        let [first, second] = [ObjectId::from_bytes([1; 12]), ObjectId::from_bytes([2; 12])];
        for (block, change, standing, is_told) in [
            (first, Change::Made, vec![first], true),
            (second, Change::Made, vec![first, second], false),
            (first, Change::Made, vec![second, first], true),
            (first, Change::Made, vec![second], true),
            (first, Change::Made, vec![], false),
            (first, Change::Lifted, vec![second], false),
            (second, Change::Lifted, vec![], true),
        ] {
            assert_eq!(tells(block, change, &standing), is_told, "{block} {change:?} {standing:?}");
        }
    }
}
