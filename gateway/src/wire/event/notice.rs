//! Events that are no messages: changes of conversations, chat requests and profiles, under the names of
//! each dialect. A body is encoded once for all who read the same.

use std::{borrow::Cow, cell::OnceCell};

use chat_proto::v1::{self as pb, event::Payload};
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;

use super::encoded;
use crate::{
    openapi::{BOTH, Events, NEW},
    wire::{
        Dialect, conversation,
        fields::{self, iso},
        user,
    },
};

/// An event on its way to sockets.
pub struct Notice<'a> {
    payload: &'a Payload,
    old: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
}

/// A name and a body to emit.
pub type Frame<'a> = (&'static str, Cow<'a, RawValue>);

impl<'a> Notice<'a> {
    /// Wraps an event; nothing is encoded yet. Events of messages and sessions go other ways.
    #[must_use]
    pub fn new(payload: &'a Payload) -> Option<Self> {
        unified_name(payload).map(|_| Self {
            payload,
            old: OnceCell::new(),
            unified: OnceCell::new(),
        })
    }

    /// Returns what a socket of a user hears, if anything.
    pub fn frame(&self, dialect: Dialect, user_id: &str) -> serde_json::Result<Option<Frame<'_>>> {
        let frame = match dialect {
            Dialect::Unified => {
                if matches!(self.payload, Payload::RequestCreated(request) if request.is_active) {
                    // There is nothing to answer.
                    return Ok(None);
                }
                let name = unified_name(self.payload);
                let body = encoded(&self.unified, || unified_body(self.payload))?;
                name.map(|name| (name, Cow::Borrowed(body)))
            }
            Dialect::Electron | Dialect::Flutter | Dialect::Undeclared => self.old(user_id)?,
        };
        Ok(frame)
    }

    /// Returns what old clients hear: both families know the same of these.
    fn old(&self, user_id: &str) -> serde_json::Result<Option<Frame<'_>>> {
        let own = |body: Value| serde_json::value::to_raw_value(&body).map(Cow::Owned);
        Ok(match self.payload {
            Payload::RequestCreated(request) if request.recipient_id == user_id => {
                Some(("chat_request", own(old_request(request))?))
            }
            Payload::RequestAccepted(accepted) => {
                let is_requester = accepted.requester_id == user_id;
                let partner =
                    if is_requester { &accepted.actor_id } else { &accepted.requester_id };
                let body = json!(OldAccepted {
                    conversation_id: &accepted.conversation_id,
                    partner_id: partner,
                });
                Some(("chat_request_accepted", own(body)?))
            }
            Payload::RequestDeclined(declined) if declined.requester_id == user_id => {
                let body = json!(OldDeclined {
                    conversation_id: &declined.conversation_id,
                    by: &declined.actor_id,
                });
                Some(("chat_request_declined", own(body)?))
            }
            Payload::ProfileUpdated(pb::ProfileUpdated { user: Some(user) }) => {
                let body = encoded(&self.old, || user::profile_updated(user))?;
                Some(("user_profile_updated", Cow::Borrowed(body)))
            }
            // Changes of groups reach old clients as messages of the group.
            _ => None,
        })
    }
}

/// A chat request as old clients hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LiveRequest)]
struct OldRequest<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    from: &'a str,
    to: &'a str,
    status: &'a str,
    created_at: Option<String>,
}

/// A chat request that was accepted, as old clients hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AcceptedRequest)]
struct OldAccepted<'a> {
    conversation_id: &'a str,
    partner_id: &'a str,
}

/// A chat request that was declined, as old clients hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeclinedRequest)]
struct OldDeclined<'a> {
    conversation_id: &'a str,
    by: &'a str,
}

/// A chat request as new clients hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedLiveRequest)]
struct Request<'a> {
    conversation_id: &'a str,
    requester_id: &'a str,
    recipient_id: &'a str,
    created_at: Option<String>,
}

/// The end of a chat request as new clients hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedAnsweredRequest)]
#[expect(clippy::struct_field_names, reason = "these are ids")]
struct Answered<'a> {
    conversation_id: &'a str,
    requester_id: &'a str,
    actor_id: &'a str,
}

fn old_request(request: &pb::RequestCreated) -> Value {
    json!(OldRequest {
        id: &request.conversation_id,
        from: &request.requester_id,
        to: &request.recipient_id,
        status: if request.is_active { "active" } else { "pending" },
        created_at: iso(request.created_at.as_ref()),
    })
}

fn unified_name(payload: &Payload) -> Option<&'static str> {
    Some(match payload {
        Payload::ConversationCreated(_) => "conversation:created",
        Payload::ConversationUpdated(_) | Payload::MarksChanged(_) => "conversation:updated",
        Payload::MembersAdded(_) => "conversation:member-added",
        Payload::MembersRemoved(_) => "conversation:member-removed",
        Payload::RequestCreated(_) => "request:created",
        Payload::RequestAccepted(_) => "request:accepted",
        Payload::RequestDeclined(_) => "request:declined",
        Payload::ProfileUpdated(_) => "profile:updated",
        Payload::MessageCreated(_)
        | Payload::MessageEdited(_)
        | Payload::MessageDeleted(_)
        | Payload::MessageReacted(_)
        | Payload::SessionRevoked(_)
        | Payload::PresenceChanged(_)
        | Payload::ReadAdvanced(_)
        | Payload::DeliveredAdvanced(_)
        | Payload::TypingChanged(_)
        | Payload::CallPlaced(_)
        | Payload::CallAnswered(_)
        | Payload::CallDeclined(_)
        | Payload::CallEnded(_)
        | Payload::CandidateAdded(_) => {
            return None;
        }
    })
}

/// A change of a conversation as new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ConversationChange)]
struct Changed<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation_id: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    user_ids: &'a [String],
    actor_id: &'a str,
}

/// What a member has set of a conversation for himself, and cleared, as his new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OwnConversationChange)]
struct Marked<'a> {
    conversation_id: &'a str,
    #[serde(flatten)]
    marks: Option<conversation::Marks>,
    #[serde(skip_serializing_if = "fields::is_zero")]
    cleared_seq: i64,
    is_hidden: bool,
    actor_id: &'a str,
}

/// A change of a conversation: for all members, or what a member has set for himself.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[schema(as = ConversationUpdate)]
enum Updated<'a> {
    ForAll(Changed<'a>),
    ForOne(Marked<'a>),
}

fn unified_body(payload: &Payload) -> Value {
    let changed = |conversation: &Option<pb::Conversation>, user_ids, actor_id| {
        let conversation = conversation.as_ref().map(conversation::unified);
        json!(Updated::ForAll(Changed { conversation, conversation_id: None, user_ids, actor_id }))
    };
    match payload {
        Payload::ConversationCreated(created) => {
            changed(&created.conversation, &[], &created.actor_id)
        }
        Payload::ConversationUpdated(updated) => {
            changed(&updated.conversation, &[], &updated.actor_id)
        }
        Payload::MarksChanged(changed) => json!(Updated::ForOne(Marked {
            conversation_id: &changed.conversation_id,
            marks: changed.marks.as_ref().map(Into::into),
            cleared_seq: changed.cleared_seq,
            is_hidden: changed.is_hidden,
            actor_id: &changed.user_id,
        })),
        Payload::MembersAdded(added) => {
            changed(&added.conversation, &added.user_ids, &added.actor_id)
        }
        Payload::MembersRemoved(removed) => json!(Changed {
            conversation: None,
            conversation_id: Some(&removed.conversation_id),
            user_ids: &removed.user_ids,
            actor_id: &removed.actor_id,
        }),
        Payload::RequestCreated(request) => json!(Request {
            conversation_id: &request.conversation_id,
            requester_id: &request.requester_id,
            recipient_id: &request.recipient_id,
            created_at: iso(request.created_at.as_ref()),
        }),
        Payload::RequestAccepted(pb::RequestAccepted {
            conversation_id,
            requester_id,
            actor_id,
        })
        | Payload::RequestDeclined(pb::RequestDeclined {
            conversation_id,
            requester_id,
            actor_id,
        }) => json!(Answered { conversation_id, requester_id, actor_id }),
        Payload::ProfileUpdated(updated) => user::unified_updated(updated.user.as_ref()),
        _ => Value::Null,
    }
}

/// Says which events these are.
pub(super) fn events(events: &mut Events) {
    events.heard::<OldRequest<'_>>(BOTH, "chat_request", "Somebody asks to chat");
    events.heard::<Request<'_>>(NEW, "request:created", "Somebody asks to chat");
    let accepted = "A chat request was accepted";
    events.heard::<OldAccepted<'_>>(BOTH, "chat_request_accepted", accepted);
    events.heard::<Answered<'_>>(NEW, "request:accepted", accepted);
    let declined = "A chat request was declined, or taken back";
    events.heard::<OldDeclined<'_>>(BOTH, "chat_request_declined", declined);
    events.heard::<Answered<'_>>(NEW, "request:declined", declined);
    user::events(events);
    let created = "A conversation was made with the user in it";
    events.heard::<Changed<'_>>(NEW, "conversation:created", created);
    let updated = "A conversation's name, picture, settings or administrators changed, or what the user has set of \
                   it for himself or cleared";
    events.heard::<Updated<'_>>(NEW, "conversation:updated", updated);
    events.heard::<Changed<'_>>(NEW, "conversation:member-added", "Somebody came into a group");
    let removed = "Somebody left a group or was removed; those hear it, too";
    events.heard::<Changed<'_>>(NEW, "conversation:member-removed", removed);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADA: &str = "aaaaaaaaaaaaaaaaaaaaaaaa";
    const GRACE: &str = "bbbbbbbbbbbbbbbbbbbbbbbb";

    fn heard(payload: &Payload, dialect: Dialect, user_id: &str) -> Option<(&'static str, Value)> {
        let notice = Notice::new(payload).expect("a notice");
        let (name, body) = notice.frame(dialect, user_id).expect("encodable")?;
        Some((name, serde_json::from_str(body.get()).expect("JSON")))
    }

    fn accepted() -> Payload {
        Payload::RequestAccepted(pb::RequestAccepted {
            conversation_id: "c".to_owned(),
            requester_id: ADA.to_owned(),
            actor_id: GRACE.to_owned(),
        })
    }

    #[test]
    fn request_reaches_who_is_asked_and_new_clients_of_both() {
        let payload = Payload::RequestCreated(pb::RequestCreated {
            conversation_id: "c".to_owned(),
            requester_id: ADA.to_owned(),
            recipient_id: GRACE.to_owned(),
            created_at: Some(prost_types::Timestamp { seconds: 1, nanos: 5_000_000 }),
            is_active: false,
        });
        for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
            assert_eq!(heard(&payload, dialect, ADA), None);
            let body = json!({
                "_id": "c", "from": ADA, "to": GRACE, "status": "pending",
                "createdAt": "1970-01-01T00:00:01.005Z",
            });
            assert_eq!(heard(&payload, dialect, GRACE), Some(("chat_request", body)));
        }
        for user in [ADA, GRACE] {
            let (name, body) = heard(&payload, Dialect::Unified, user).expect("heard");
            assert_eq!((name, &body["requesterId"]), ("request:created", &json!(ADA)));
        }
    }

    #[test]
    fn partner_of_an_accepted_request_is_the_other_side() {
        for (user, partner) in [(ADA, GRACE), (GRACE, ADA)] {
            let body = json!({ "conversationId": "c", "partnerId": partner });
            let expected = Some(("chat_request_accepted", body));
            assert_eq!(heard(&accepted(), Dialect::Flutter, user), expected);
        }
        let (name, body) = heard(&accepted(), Dialect::Unified, ADA).expect("heard");
        let expected = json!({ "conversationId": "c", "requesterId": ADA, "actorId": GRACE });
        assert_eq!((name, body), ("request:accepted", expected));
    }

    #[test]
    fn refusal_reaches_who_asked() {
        let payload = Payload::RequestDeclined(pb::RequestDeclined {
            conversation_id: "c".to_owned(),
            requester_id: ADA.to_owned(),
            actor_id: GRACE.to_owned(),
        });
        let body = json!({ "conversationId": "c", "by": GRACE });
        let expected = Some(("chat_request_declined", body));
        assert_eq!(heard(&payload, Dialect::Undeclared, ADA), expected);
        assert_eq!(heard(&payload, Dialect::Undeclared, GRACE), None);
    }

    #[test]
    fn changed_profile_has_what_old_clients_replace() {
        let user = pb::User {
            id: ADA.to_owned(),
            name: "Ada".to_owned(),
            bio: Some("hi".to_owned()),
            ..Default::default()
        };
        let payload = Payload::ProfileUpdated(pb::ProfileUpdated { user: Some(user) });
        let (name, body) = heard(&payload, Dialect::Flutter, GRACE).expect("heard");
        assert_eq!((name, &body["userId"]), ("user_profile_updated", &json!(ADA)));
        for (field, value) in [("id", json!(ADA)), ("bio", json!("hi")), ("avatarUrl", json!(null))]
        {
            assert_eq!(body["user"][field], value, "{field}");
        }
        let (name, _) = heard(&payload, Dialect::Unified, GRACE).expect("heard");
        assert_eq!(name, "profile:updated");
    }

    #[test]
    fn marks_reach_new_clients_alone() {
        let marks = pb::Marks { is_pinned: true, ..Default::default() };
        let payload = Payload::MarksChanged(pb::MarksChanged {
            conversation_id: "c".to_owned(),
            user_id: ADA.to_owned(),
            marks: Some(marks),
            cleared_seq: 0,
            is_hidden: false,
        });
        for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
            assert_eq!(heard(&payload, dialect, ADA), None);
        }
        let body = json!({
            "conversationId": "c", "isMuted": false, "isPinned": true, "isArchived": false,
            "isHidden": false, "actorId": ADA,
        });
        let expected = Some(("conversation:updated", body));
        assert_eq!(heard(&payload, Dialect::Unified, ADA), expected);
        let payload = Payload::MarksChanged(pb::MarksChanged {
            conversation_id: "c".to_owned(),
            user_id: ADA.to_owned(),
            marks: Some(pb::Marks::default()),
            cleared_seq: 7,
            is_hidden: true,
        });
        let (_, body) = heard(&payload, Dialect::Unified, ADA).expect("heard");
        assert_eq!((&body["clearedSeq"], &body["isHidden"]), (&json!(7), &json!(true)));
    }

    #[test]
    fn members_that_change_reach_new_clients_alone() {
        let payload = Payload::MembersRemoved(pb::MembersRemoved {
            conversation_id: "c".to_owned(),
            user_ids: vec![GRACE.to_owned()],
            actor_id: ADA.to_owned(),
        });
        assert_eq!(heard(&payload, Dialect::Undeclared, GRACE), None);
        let body = json!({ "conversationId": "c", "userIds": [GRACE], "actorId": ADA });
        let expected = Some(("conversation:member-removed", body));
        assert_eq!(heard(&payload, Dialect::Unified, GRACE), expected);
    }
}
