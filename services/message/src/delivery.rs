//! What has reached members: they say so, or connect, and the senders hear of it.

use std::collections::{HashMap, HashSet};

use bson::DateTime;
use chat_kit::{
    caller::Caller,
    id::{ConversationId, MessageId, UserId},
};
use chat_proto::v1 as pb;

use crate::{
    Service, convert,
    error::Error,
    receipts::announce::Delivery,
    store::{
        messages::{Held, Stretch},
        receipts::{Cursor, Move, Moved, Step},
    },
};

/// How often a cursor is read again that another call has moved meanwhile.
const ATTEMPTS: usize = 5;

/// How far everything is to count as delivered, by conversation.
type Targets = HashMap<ConversationId, i64>;

/// What lies before the targets, each with the number that is delivered.
type Ahead = HashMap<ConversationId, (Stretch, i64)>;

/// What became of deliveries.
#[derive(Debug, Default)]
struct Advanced {
    /// How many have moved.
    count: u32,
    /// Where the user is no member.
    refused: HashSet<ConversationId>,
}

impl Service {
    /// Says that messages of others have reached `user`, who calls. Returns those that have.
    pub async fn mark_delivered(
        &self,
        caller: &Caller,
        user: UserId,
        ids: &[MessageId],
    ) -> Result<Vec<MessageId>, Error> {
        let mut found = self.store.messages.located(ids).await?;
        found.retain(|message| message.sender_id != user);
        let mut targets = Targets::new();
        for message in &found {
            let highest = targets.entry(message.conversation_id).or_default();
            *highest = message.seq.max(*highest);
        }
        let refused = self.advance_delivered(caller, user, targets).await?.refused;
        found.retain(|message| !refused.contains(&message.conversation_id));
        Ok(found.into_iter().map(|message| message.id).collect())
    }

    /// Says that everything has reached `user`, who calls. Returns in how many conversations that was new.
    pub async fn catch_up_delivered(&self, caller: &Caller, user: UserId) -> Result<u32, Error> {
        let memberships = self.memberships(caller).await?.into_iter();
        let mut targets = memberships
            .map(|membership| {
                let id = convert::conversation_id(&membership.conversation_id)?;
                Ok((id, membership.newest_seq))
            })
            .collect::<Result<Targets, Error>>()?;
        // What the lists do not show yet may have been announced before the user's socket came.
        let ids: Vec<ConversationId> = targets.keys().copied().collect();
        for under_way in self.store.messages.under_way(&ids).await? {
            let newest = targets.entry(under_way.conversation_id).or_default();
            *newest = under_way.seq.max(*newest);
        }
        targets.retain(|_, newest| *newest > 0);
        Ok(self.advance_delivered(caller, user, targets).await?.count)
    }

    async fn advance_delivered(
        &self,
        caller: &Caller,
        user: UserId,
        targets: Targets,
    ) -> Result<Advanced, Error> {
        let (service, caller) = (self.clone(), caller.clone());
        self.to_the_end(async move { service.advance_all(&caller, user, targets).await }).await
    }

    /// Raises cursors to their targets, and lets the senders hear of what moved. Of two calls at once each
    /// announces its own part: a cursor moves only from where it was read. As many queries and calls
    /// whatever the number of conversations.
    async fn advance_all(
        &self,
        caller: &Caller,
        user: UserId,
        mut targets: Targets,
    ) -> Result<Advanced, Error> {
        let mut advanced = Advanced::default();
        for _ in 0..ATTEMPTS {
            let ahead = self.ahead(user, &mut targets).await?;
            if ahead.is_empty() {
                return Ok(advanced);
            }
            let stretches: Vec<Stretch> = ahead.values().map(|(stretch, _)| *stretch).collect();
            let held = self.store.messages.held(user, &stretches).await?;
            let heard = self.hearers(caller, user, held).await?;
            let stays: HashSet<_> = heard.iter().map(|(held, _)| held.conversation_id).collect();
            for conversation in ahead.keys().filter(|conversation| !stays.contains(*conversation)) {
                targets.remove(conversation);
                advanced.refused.insert(*conversation);
            }
            let moved = self.move_delivered(user, heard, &ahead, &mut targets).await?;
            advanced.count += u32::try_from(moved.len()).unwrap_or(u32::MAX);
            // From here on nothing fails these: what is not announced now, a relay announces.
            self.tell_deliveries(caller, moved).await;
        }
        if targets.is_empty() { Ok(advanced) } else { Err(Error::Contended) }
    }

    /// Returns what lies before the targets, with the delivered numbers; targets that are reached go.
    async fn ahead(&self, user: UserId, targets: &mut Targets) -> Result<Ahead, Error> {
        if targets.is_empty() {
            return Ok(Ahead::new());
        }
        let ids: Vec<_> = targets.keys().copied().collect();
        let receipts = self.store.receipts.of_user(user, &ids).await?.into_iter();
        let receipts: HashMap<_, _> =
            receipts.map(|receipt| (receipt.conversation_id, receipt)).collect();
        let mut ahead = Ahead::new();
        targets.retain(|&conversation_id, &mut to| {
            let receipt = receipts.get(&conversation_id);
            let delivered = receipt.map_or(0, |receipt| receipt.delivered_seq);
            let after = receipt.map_or(0, |receipt| delivered.max(receipt.examined_seq));
            let is_ahead = to > after;
            if is_ahead {
                ahead.insert(conversation_id, (Stretch { conversation_id, after, to }, delivered));
            }
            is_ahead
        });
        Ok(ahead)
    }

    /// Returns what is delivered where `user` is a member, each with those of its senders who are.
    pub(crate) async fn hearers(
        &self,
        caller: &Caller,
        user: UserId,
        held: Vec<Held>,
    ) -> Result<Vec<(Held, Vec<String>)>, Error> {
        if held.is_empty() {
            return Ok(Vec::new());
        }
        let user = user.to_string();
        let asked = held.iter().map(|held| {
            let senders = held.of_others.iter().map(|place| place.sender_id.to_string());
            pb::ConversationUsers {
                conversation_id: held.conversation_id.to_string(),
                user_ids: std::iter::once(user.clone()).chain(senders).collect(),
            }
        });
        let members = self.filter_members(caller, asked.collect()).await?;
        let heard = held.into_iter().zip(members).filter_map(|(held, mut members)| {
            let is_member = members.user_ids.first() == Some(&user);
            is_member.then(|| (held, members.user_ids.split_off(1)))
        });
        Ok(heard.collect())
    }

    /// Moves the cursors, and takes the targets away that are reached; returns those deliveries that moved,
    /// with who hears of them.
    async fn move_delivered(
        &self,
        user: UserId,
        heard: Vec<(Held, Vec<String>)>,
        ahead: &Ahead,
        targets: &mut Targets,
    ) -> Result<Vec<Delivery>, Error> {
        if heard.is_empty() {
            return Ok(Vec::new());
        }
        let now = DateTime::now();
        let moves: Vec<Move> = heard
            .iter()
            .map(|(held, _)| Move {
                conversation_id: held.conversation_id,
                from: ahead.get(&held.conversation_id).map_or(0, |(_, delivered)| *delivered),
                to: held.of_others.first().map(|newest| {
                    Step::new(Cursor::Delivered, (newest.seq, newest.created_at), now)
                }),
                examined: held.to,
            })
            .collect();
        let outcomes = self.store.receipts.move_delivered(user, &moves).await?;
        let mut deliveries = Vec::new();
        for (((held, hearers), one), has_moved) in heard.into_iter().zip(moves).zip(outcomes) {
            if !has_moved {
                continue;
            }
            let conversation_id = held.conversation_id;
            targets.remove(&conversation_id);
            if let Some(step) = one.to {
                let advance = step.from(one.from);
                deliveries.push(Delivery {
                    moved: Moved { conversation_id, user_id: user, advance },
                    newest: held.of_others,
                    hearers,
                });
            }
        }
        Ok(deliveries)
    }
}
