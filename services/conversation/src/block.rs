//! Who keeps apart from whom. The blocks say it; the direct conversation of the two repeats it, so that one
//! read decides who may write there.
//!
//! A block is stored first, and its conversation is closed after it. Whoever makes a conversation looks for
//! blocks once it is stored. So one of both sees what the other has done: had neither, the block would have
//! been stored after the look and the conversation after the closing, each of which comes later than the
//! other. What a process that died leaves undone, the next
//! block of the two does, or the lifting of one.

use bson::{DateTime, oid::ObjectId};
use chat_kit::{caller::Caller, id::UserId};
use chat_proto::v1::GetUserRequest;

use crate::{
    Service,
    error::Error,
    store::blocks::{Block, Place},
};

/// How often a conversation is compared with the blocks that others change meanwhile.
const ATTEMPTS: usize = 8;

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
        self.store.blocks().insert(user, blocked, DateTime::now()).await?;
        self.settle_blocks(user, blocked).await?;
        Ok(())
    }

    /// Lifts a user's block of another one.
    pub(crate) async fn unblock(&self, user: UserId, blocked: UserId) -> Result<(), Error> {
        if user == blocked {
            return Err(Error::OwnBlock);
        }
        self.store.blocks().delete(user, blocked).await?;
        self.settle_blocks(user, blocked).await?;
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
        if self.settle_blocks(user, other).await? { Err(Error::Blocked) } else { Ok(()) }
    }

    /// Makes the direct conversation of two users, if they have one, say what the blocks between them do;
    /// says whether there are any.
    ///
    /// The conversation is read before the blocks. A block of it that is not there any more was lifted, and
    /// for good, since no block has its id again. One that is missing in it is added, and looked for once
    /// more: it might have been lifted between the two, by somebody who found nothing to take out.
    async fn settle_blocks(&self, one: UserId, other: UserId) -> Result<bool, Error> {
        let conversations = self.store.conversations();
        for _ in 0..ATTEMPTS {
            let found = conversations.direct(one, other).await?;
            let blocks = self.store.blocks().of_pair(one, other).await?;
            let Some(found) = found else {
                return Ok(!blocks.is_empty());
            };
            let missing = without(&blocks, &found.block_ids);
            let lifted = without(&found.block_ids, &blocks);
            if missing.is_empty() && lifted.is_empty() {
                return Ok(!blocks.is_empty());
            }
            let now = DateTime::now();
            conversations.exchange_blocks(found.id, &missing, &lifted, now).await?;
        }
        Err(Error::BlockContended)
    }
}

fn without(ids: &[ObjectId], others: &[ObjectId]) -> Vec<ObjectId> {
    ids.iter().filter(|id| !others.contains(id)).copied().collect()
}
