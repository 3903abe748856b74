//! Changing messages: what clients ask for, and how what was changed looks.

use axum::response::Response;
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::{render::Unified, value};
use crate::{
    error::ApiError,
    openapi::{DESKTOP, Events, Form, MOBILE, NEW, Schemas},
    wire::{Dialect, envelope, fields, fields::iso},
};

/// The new text of a message, in every spelling.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default)]
#[expect(missing_docs, reason = "the table of `wire` says what each spelling means")]
#[schema(as = EditMessageRequest)]
pub struct Edit {
    #[serde(deserialize_with = "fields::text")]
    pub text: Option<String>,
    #[serde(deserialize_with = "fields::text")]
    pub content: Option<String>,
}

impl Edit {
    /// Asks for the message in a path to be edited.
    pub fn into_request(self, id: &str) -> Result<pb::EditMessageRequest, ApiError> {
        let content = fields::first([self.text, self.content]).unwrap_or_default();
        Ok(pb::EditMessageRequest {
            message_id: fields::message_id("id", id)?.to_string(),
            content: content.trim().to_owned(),
        })
    }
}

/// How a message is to be deleted. Without a body it is for everybody, which is its sender's alone.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[expect(missing_docs, reason = "the table of `wire` says what each spelling means")]
#[schema(as = DeleteMessageRequest)]
pub struct Delete {
    #[serde(deserialize_with = "fields::flag")]
    pub delete_for_both: Option<bool>,
}

impl Delete {
    /// Asks for the message in a path to be deleted.
    pub fn into_request(self, id: &str) -> Result<pb::DeleteMessageRequest, ApiError> {
        Ok(pb::DeleteMessageRequest {
            message_id: fields::message_id("id", id)?.to_string(),
            for_caller_alone: self.delete_for_both == Some(false),
        })
    }
}

/// Asks for a reaction in a path to be added.
pub fn reaction(id: &str, reaction: String) -> Result<pb::AddReactionRequest, ApiError> {
    let message_id = fields::message_id("id", id)?.to_string();
    Ok(pb::AddReactionRequest { message_id, reaction })
}

/// Asks for a reaction in a path to be taken back.
pub fn taken_back(id: &str, reaction: String) -> Result<pb::RemoveReactionRequest, ApiError> {
    let message_id = fields::message_id("id", id)?.to_string();
    Ok(pb::RemoveReactionRequest { message_id, reaction })
}

/// Answers with an edited message.
pub fn answer_edited(
    dialect: Dialect,
    message: Option<&pb::Message>,
    caller: &str,
) -> Result<Response, ApiError> {
    let message = message.ok_or_else(|| ApiError::incomplete("message"))?;
    let body = match dialect {
        Dialect::Unified => json!({ "message": Unified::seen_by(caller, message) }),
        _ => json!({ "ok": true, "message": edited(message) }),
    };
    Ok(envelope::ok(body))
}

/// Answers with what is left of a deleted message.
pub fn answer_deleted(
    dialect: Dialect,
    message: Option<&pb::Message>,
) -> Result<Response, ApiError> {
    let message = message.ok_or_else(|| ApiError::incomplete("message"))?;
    let body = match dialect {
        Dialect::Unified => json!({ "message": unified_left(message) }),
        _ => json!({ "ok": true, "message": deleted(message) }),
    };
    Ok(envelope::ok(body))
}

/// Answers with what members think of a message.
pub fn answer_reacted(
    dialect: Dialect,
    message: Option<&pb::Message>,
) -> Result<Response, ApiError> {
    let message = message.ok_or_else(|| ApiError::incomplete("message"))?;
    if dialect == Dialect::Unified {
        return Ok(envelope::ok(json!({ "message": unified_reactions(message) })));
    }
    let message = Reacted {
        id: &message.id,
        message_id: &message.id,
        conversation_id: &message.conversation_id,
        conversation: &message.conversation_id,
        reactions: old_reactions(message),
    };
    Ok(envelope::ok(Old { ok: true, message }))
}

/// The answer to a change, as both old families read it.
#[derive(Serialize, ToSchema)]
#[schema(as = OldChange)]
struct Old<T> {
    ok: bool,
    #[schema(inline)]
    message: T,
}

/// The answer to a change, as new clients read it.
#[derive(Serialize, ToSchema)]
#[schema(as = UnifiedChange)]
struct New<T> {
    #[schema(inline)]
    message: T,
}

/// What members think of a message, as both old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ReactedMessage)]
struct Reacted<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    message_id: &'a str,
    conversation_id: &'a str,
    conversation: &'a str,
    reactions: Vec<OldReaction<'a>>,
}

/// What members think of a message, as new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedReactedMessage)]
struct UnifiedReacted<'a> {
    id: &'a str,
    conversation_id: &'a str,
    seq: i64,
    reactions: Vec<UnifiedReaction<'a>>,
}

/// What every change of a message tells the old families.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = ChangedMessage)]
struct Changed<'a> {
    #[serde(rename = "_id")]
    id: &'a str,
    message_id: &'a str,
    conversation_id: &'a str,
    conversation: &'a str,
    from: &'a str,
    sender: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a str>,
}

impl<'a> From<&'a pb::Message> for Changed<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            id: &message.id,
            message_id: &message.id,
            conversation_id: &message.conversation_id,
            conversation: &message.conversation_id,
            from: &message.sender_id,
            sender: &message.sender_id,
            to: message.recipient_id.as_deref(),
        }
    }
}

/// An edited message, as the old families hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = EditedMessage)]
struct NewText<'a> {
    #[serde(flatten)]
    changed: Changed<'a>,
    text: &'a str,
    content: &'a str,
    edited: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    edited_at: Option<String>,
    created_at: Option<String>,
}

/// Returns an edited message as the old families hear of it.
#[must_use]
pub fn edited(message: &pb::Message) -> Value {
    value(NewText {
        changed: message.into(),
        text: &message.content,
        content: &message.content,
        edited: message.edited_at.is_some(),
        edited_at: iso(message.edited_at.as_ref()),
        created_at: iso(message.created_at.as_ref()),
    })
}

/// A deleted message, as the old families hear of it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = DeletedMessage)]
struct Gone<'a> {
    #[serde(flatten)]
    changed: Changed<'a>,
    deleted: bool,
    is_deleted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
}

/// Returns a deleted message as the old families hear of it; one that is deleted for its reader alone has
/// no time.
#[must_use]
pub fn deleted(message: &pb::Message) -> Value {
    value(Gone {
        changed: message.into(),
        deleted: true,
        is_deleted: true,
        deleted_at: iso(message.deleted_at.as_ref()),
    })
}

/// What is left of a deleted message, as new clients hear of it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedDeletion)]
pub(super) struct Left<'a> {
    id: &'a str,
    conversation_id: &'a str,
    seq: i64,
    sender_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    deleted_at: Option<String>,
}

impl<'a> From<&'a pb::Message> for Left<'a> {
    fn from(message: &'a pb::Message) -> Self {
        Self {
            id: &message.id,
            conversation_id: &message.conversation_id,
            seq: message.seq,
            sender_id: &message.sender_id,
            deleted_at: iso(message.deleted_at.as_ref()),
        }
    }
}

/// A message that was deleted for everybody in a history, as new clients read it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedDeletedMessage)]
pub(super) struct Tombstone<'a> {
    id: &'a str,
    conversation_id: &'a str,
    seq: i64,
    sender_id: &'a str,
    #[schema(required, value_type = String)]
    deleted_at: Option<String>,
}

impl<'a> From<&'a pb::Message> for Tombstone<'a> {
    fn from(message: &'a pb::Message) -> Self {
        let Left { id, conversation_id, seq, sender_id, deleted_at } = message.into();
        Self { id, conversation_id, seq, sender_id, deleted_at }
    }
}

/// Returns what is left of a deleted message, as new clients read it.
#[must_use]
pub fn unified_left(message: &pb::Message) -> Value {
    value(Left::from(message))
}

/// What a member thinks of a message, as the old families have it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldReaction<'a> {
    user_id: &'a str,
    reaction: &'a str,
    timestamp: Option<String>,
}

/// Returns what members think of a message, as the old families have it.
pub(super) fn old_reactions(message: &pb::Message) -> Vec<OldReaction<'_>> {
    let reactions = message.reactions.iter().map(|reaction| OldReaction {
        user_id: &reaction.user_id,
        reaction: &reaction.reaction,
        timestamp: iso(reaction.created_at.as_ref()),
    });
    reactions.collect()
}

/// What a member thinks of a message, as new clients have it.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct UnifiedReaction<'a> {
    user_id: &'a str,
    reaction: &'a str,
    created_at: Option<String>,
}

/// Returns what members think of a message, as new clients have it.
pub(super) fn reactions(message: &pb::Message) -> Vec<UnifiedReaction<'_>> {
    let reactions = message.reactions.iter().map(|reaction| UnifiedReaction {
        user_id: &reaction.user_id,
        reaction: &reaction.reaction,
        created_at: iso(reaction.created_at.as_ref()),
    });
    reactions.collect()
}

/// Returns a message's reactions alone, as new clients hear of them.
#[must_use]
pub fn unified_reactions(message: &pb::Message) -> Value {
    value(UnifiedReacted {
        id: &message.id,
        conversation_id: &message.conversation_id,
        seq: message.seq,
        reactions: reactions(message),
    })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let old = Form::old::<Old<NewText<'_>>>();
    schemas.answer("EditedMessageAnswer", [old, Form::unified::<New<Unified<'_>>>()]);
    let old = Form::old::<Old<Gone<'_>>>();
    schemas.answer("DeletedMessageAnswer", [old, Form::unified::<New<Left<'_>>>()]);
    let old = Form::old::<Old<Reacted<'_>>>();
    schemas.answer("ReactionAnswer", [old, Form::unified::<New<UnifiedReacted<'_>>>()]);
}

/// Says which events changes bring.
pub(super) fn events(events: &mut Events) {
    let edited = "The text of a message changed";
    events.heard::<NewText<'_>>(MOBILE, "message_edited", edited);
    events.heard::<NewText<'_>>(DESKTOP, "message-edited", edited);
    events.heard::<Unified<'_>>(NEW, "message:edited", edited);
    let deleted = "A message was deleted for everybody";
    events.heard::<Gone<'_>>(MOBILE, "message_deleted", deleted);
    events.heard::<Gone<'_>>(DESKTOP, "message-deleted", deleted);
    events.heard::<Left<'_>>(NEW, "message:deleted", deleted);
    let reacted = "What members think of a message changed: all reactions as they are now";
    events.heard::<UnifiedReacted<'_>>(NEW, "message:reaction", reacted);
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "65f0c0ffee0123456789abcd";

    #[test]
    fn new_text_has_two_spellings_and_is_trimmed() {
        for (body, content) in [
            (json!({ "text": " a ", "content": "b" }), "a"),
            (json!({ "text": "", "content": "b" }), "b"),
            (json!({ "content": 7 }), "7"),
            (json!({}), ""),
        ] {
            let edit: Edit = fields::read(body.clone()).expect("an edit");
            assert_eq!(edit.into_request(ID).expect("a request").content, content, "{body}");
        }
        assert_eq!(Edit::default().into_request("m1").expect_err("no id").error, "invalid_id");
    }

    #[test]
    fn only_a_plain_no_deletes_for_oneself() {
        for (body, alone) in [
            (json!({}), false),
            (json!({ "deleteForBoth": true }), false),
            (json!({ "deleteForBoth": null }), false),
            (json!({ "deleteForBoth": false }), true),
            (json!({ "deleteForBoth": "true" }), false),
            (json!({ "deleteForBoth": "false" }), true),
        ] {
            let delete: Delete = fields::read(body.clone()).expect("a request");
            let request = delete.into_request(ID).expect("a request");
            assert_eq!(request.for_caller_alone, alone, "{body}");
        }
        for body in [json!({ "deleteForBoth": "no" }), json!({ "deleteForBoth": 0 })] {
            let error = fields::read::<Delete>(body).expect_err("no boolean");
            assert_eq!(error.error, "validation_error");
        }
    }
}
