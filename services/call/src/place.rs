//! Placing calls.

use bson::DateTime;
use chat_kit::{caller::Caller, id::UserId, outbox::Entry, time::after};
use chat_proto::v1::{ConversationStatus, FindDirectConversationRequest, GetUserRequest};

use crate::{
    Service,
    announce::{Change, ChangeKind},
    error::Error,
    state::{Call, CallId, Kind, Party, Side, Socket, State},
};

/// A call that is to be placed.
pub(crate) struct NewCall {
    pub(crate) by: Party,
    /// Whom to ring.
    pub(crate) peer: UserId,
    pub(crate) offer: String,
    pub(crate) kind: Kind,
}

impl Service {
    /// Rings the callee. Who may is asked while the limits are counted; both come before anything is stored.
    pub(crate) async fn place(
        &self,
        caller: &Caller,
        new: NewCall,
        now: DateTime,
    ) -> Result<Call, Error> {
        if new.by.user_id == new.peer {
            return Err(Error::OwnCall);
        }
        let counted = self.count_call(new.by.user_id, new.peer, now);
        let (counted, may_ring) = tokio::join!(counted, self.check_connected(caller, new.peer));
        counted?;
        may_ring?;
        let placed = Change::by_socket(ChangeKind::Placed, &new.by.socket_id);
        let placed = Entry::new(placed, now);
        let call = self.ringing(new, now)?;
        self.store.calls().insert(&call, &placed).await?;
        self.outbox.announce(&call.id);
        Ok(call)
    }

    fn ringing(&self, new: NewCall, now: DateTime) -> Result<Call, Error> {
        let NewCall { by, peer, offer, kind } = new;
        let ring_until = after(now, self.calls.ring_timeout);
        let bound = Socket::held(&by.socket_id, after(now, self.calls.lease));
        let side = |user_id| Side {
            user_id,
            session: None,
            bound: None,
            standby: None,
            rung: Vec::new(),
            candidates: Vec::new(),
            late: Vec::new(),
            candidate_count: 0,
        };
        Ok(Call {
            id: CallId::random()?,
            parties: [by.user_id, peer],
            is_live: true,
            revision: 0,
            kind,
            state: State::Ringing,
            due_at: Some(ring_until.min(bound.held_until)),
            caller: Side { session: by.session, bound: Some(bound), ..side(by.user_id) },
            callee: side(peer),
            placed_at: now,
            answered_at: None,
            ended_at: None,
            end_reason: None,
            ended_by: None,
            ended_by_session: None,
            ring_until: Some(ring_until),
            ends_by: None,
            held_hang_up: None,
            offer: Some(offer),
            answer: None,
        })
    }

    /// Refuses a call to somebody with whom the caller has no direct conversation in which both may write.
    async fn check_connected(&self, caller: &Caller, peer: UserId) -> Result<(), Error> {
        let user_id = peer.to_string();
        let request = caller.request(FindDirectConversationRequest { user_id: user_id.clone() });
        let found = self.conversations.clone().find_direct_conversation(request).await;
        let found = found.map_err(Error::Upstream)?.into_inner();
        if found.status() == ConversationStatus::Active {
            return Ok(());
        }
        if found.conversation_id.is_none() {
            // Tells somebody who does not exist from a stranger.
            let request = caller.request(GetUserRequest { user_id });
            self.users.clone().get_user(request).await.map_err(Error::Upstream)?;
        }
        Err(Error::NotConnected)
    }
}
