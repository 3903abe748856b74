//! Announces what changed in a conversation, from the change that stands in its document: as an event, and
//! where a note belongs to it, as a message in the history.

pub(crate) mod note;

use anyhow::Context as _;
use bson::{RawDocumentBuf, oid::ObjectId};
use chat_kit::{
    caller::new_request_id,
    id::UserId,
    nats::Publisher,
    outbox::{Entry, Outbox},
    shutdown::Lifecycle,
    time::to_timestamp,
};
use chat_proto::v1::{self as pb, event::Payload};
use mongodb::Collection;
use serde::{Deserialize, Serialize};

use self::note::{Note, Notes};
use crate::{
    convert,
    store::{
        self,
        conversations::{Conversation, ConversationStatus},
    },
};

/// What changed in a conversation, and whom it concerns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Change {
    pub(crate) kind: ChangeKind,
    /// Who made it.
    pub(crate) actor_id: UserId,
    /// Whom it concerns beside the members: who came, who left, who had asked.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) user_ids: Vec<UserId>,
    /// What the history says of it, if anything.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) note: Option<Note>,
}

impl Change {
    /// Describes a change that concerns the members alone.
    pub(crate) fn new(kind: ChangeKind, actor_id: UserId) -> Self {
        Self { kind, actor_id, user_ids: Vec::new(), note: None }
    }
}

/// The kinds of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ChangeKind {
    /// The conversation was made.
    Created,
    /// Its name, picture, settings or administrators changed.
    Updated,
    /// Somebody came in.
    MembersAdded,
    /// Somebody left or was removed.
    MembersRemoved,
    /// Somebody asked to chat; he is the actor.
    RequestCreated,
    /// The request of `user_ids` was accepted.
    RequestAccepted,
    /// The request of `user_ids` was declined, or taken back.
    RequestDeclined,
    /// The actor has set or cleared something for himself.
    Marked,
    /// A block closed or opened it, of which the members are told nothing.
    BlocksChanged,
}

/// Returns what announces the changes of the collection.
pub(crate) fn outbox(
    documents: Collection<RawDocumentBuf>,
    publisher: Publisher,
    notes: Notes,
    life: &Lifecycle,
) -> Outbox<Change> {
    Outbox::new(documents, life, move |document, entry| {
        let (publisher, notes) = (publisher.clone(), notes.clone());
        async move {
            let conversation: Conversation =
                store::read(store::conversations::COLLECTION, &document)?;
            let event = event(&conversation, &entry);
            let request_id = new_request_id();
            publisher.publish(&event, &request_id).await.context("announcement")?;
            notes.write(conversation.id, &entry, &request_id).await.context("note")
        }
    })
}

/// Builds the event of a change. Who comes later hears of it, and who left meanwhile does not, but for
/// those who are told that they did; who has come back since hears it as a member. What a member has set for
/// himself, he hears alone.
fn event(conversation: &Conversation, entry: &Entry<Change>) -> pb::Event {
    let Change { kind, actor_id, user_ids, note: _ } = &entry.change;
    let removed = if *kind == ChangeKind::MembersRemoved { user_ids.as_slice() } else { &[] };
    let is_own = *kind == ChangeKind::Marked;
    let is_heard =
        |member: &UserId| *kind != ChangeKind::BlocksChanged && (!is_own || member == actor_id);
    let members = conversation.member_ids.iter().filter(|member| is_heard(member));
    let is_gone = |user: &&UserId| !conversation.member_ids.contains(*user);
    let recipients = members.chain(removed.iter().filter(is_gone));
    pb::Event {
        id: event_id(conversation.id.0, entry.id),
        occurred_at: Some(to_timestamp(entry.at)),
        recipient_ids: recipients.map(UserId::to_string).collect(),
        payload: Some(payload(conversation, *kind, *actor_id, user_ids)),
    }
}

fn event_id(conversation: ObjectId, change: ObjectId) -> String {
    format!("{conversation}:changed:{change}")
}

fn payload(
    conversation: &Conversation,
    kind: ChangeKind,
    actor: UserId,
    users: &[UserId],
) -> Payload {
    let conversation_id = conversation.id.to_string();
    let actor_id = actor.to_string();
    let user_ids: Vec<String> = users.iter().map(UserId::to_string).collect();
    let requester_id = user_ids.first().cloned().unwrap_or_default();
    let shown = || Some(convert::shown_to_all(conversation.clone()));
    match kind {
        ChangeKind::Created => Payload::ConversationCreated(pb::ConversationCreated {
            conversation: shown(),
            actor_id,
        }),
        ChangeKind::Updated | ChangeKind::BlocksChanged => {
            Payload::ConversationUpdated(pb::ConversationUpdated {
                conversation: shown(),
                actor_id,
            })
        }
        ChangeKind::MembersAdded => {
            Payload::MembersAdded(pb::MembersAdded { conversation: shown(), user_ids, actor_id })
        }
        ChangeKind::MembersRemoved => {
            Payload::MembersRemoved(pb::MembersRemoved { conversation_id, user_ids, actor_id })
        }
        ChangeKind::RequestCreated => {
            let other = conversation.member_ids.iter().find(|member| **member != actor);
            Payload::RequestCreated(pb::RequestCreated {
                conversation_id,
                requester_id: actor_id,
                recipient_id: other.map(UserId::to_string).unwrap_or_default(),
                created_at: Some(to_timestamp(conversation.created_at)),
                is_active: conversation.status == ConversationStatus::Active,
            })
        }
        ChangeKind::RequestAccepted => Payload::RequestAccepted(pb::RequestAccepted {
            conversation_id,
            requester_id,
            actor_id,
        }),
        ChangeKind::Marked => {
            let own = convert::conversation(conversation.clone(), actor);
            Payload::MarksChanged(pb::MarksChanged {
                conversation_id,
                user_id: actor_id,
                marks: own.marks,
                cleared_seq: own.cleared_seq,
                is_hidden: conversation.hidden_for.contains(&actor),
            })
        }
        ChangeKind::RequestDeclined => Payload::RequestDeclined(pb::RequestDeclined {
            conversation_id,
            requester_id,
            actor_id,
        }),
    }
}
