//! The objects that many answers have in common, as the old families read them.

use serde_json::{Value, json};

/// Returns a shape with more fields.
#[must_use]
pub fn with(shape: Value, more: Value) -> Value {
    let (Value::Object(mut fields), Value::Object(more)) = (shape, more) else {
        panic!("only objects have fields");
    };
    fields.extend(more);
    Value::Object(fields)
}

/// An answer that went well.
#[must_use]
pub fn ok(fields: Value) -> Value {
    with(json!({ "success": true }), fields)
}

/// The user of a login.
#[must_use]
pub fn auth_user() -> Value {
    json!({
        "id": "id", "uid": "id", "userId": "id", "name": "filled", "phone": "text|null",
        "avatar": "text|null", "avatarUrl": "text|null", "bio": "text|null", "isOnline": "bool",
        "lastSeen": "date",
    })
}

/// A user in lists, searches and by himself.
#[must_use]
pub fn user_item() -> Value {
    json!({
        "_id": "id", "id": "id", "name": "filled", "phone": "text|null", "avatar": "text|null",
        "avatarUrl": "text|null", "bio": "text|null", "isOnline": "bool", "lastSeen": "date",
    })
}

/// The caller's own profile.
#[must_use]
pub fn own_profile() -> Value {
    with(user_item(), json!({ "uid": "id", "userId": "id" }))
}

/// The caller himself: his login's user and his own profile in one.
#[must_use]
pub fn me() -> Value {
    let more = json!({ "email": "text|null", "createdAt": "date", "updatedAt": "date" });
    with(with(own_profile(), auth_user()), more)
}

/// A user by id.
#[must_use]
pub fn looked_up() -> Value {
    json!({
        "id": "id", "name": "filled", "phone": "text|null", "email": "text|null", "avatar": "text|null",
        "avatarUrl": "text|null", "lastSeen": "date|null", "isOnline": "bool", "online?": "bool",
    })
}

/// A user inside a document. What is not set is left out; a phone that the caller may not see is null, or
/// left out.
#[must_use]
pub fn card() -> Value {
    json!({
        "_id": "id", "name": "filled", "phone?": "text|null", "avatar?": "text", "avatarUrl?": "text",
    })
}

/// A user inside a document, with presence.
#[must_use]
pub fn present_card() -> Value {
    with(card(), json!({ "isOnline": "bool", "lastSeen": "date" }))
}

/// A conversation whose members have a shape.
#[must_use]
pub fn conversation(member: &Value) -> Value {
    json!({
        "_id": "id", "participants": [member], "members": [member], "isGroup": "bool",
        "status": "=pending|=active|=declined|=blocked", "createdBy?": "id", "lastMessage?": "id",
        "lastMessageAt?": "date|null", "participantKey?": "filled", "hiddenFor": ["id"],
        "deliveredUpTo": { "*": "date" }, "readUpTo": { "*": "date" }, "createdAt": "date",
        "updatedAt": "date", "name?": "text", "groupId?": "id",
    })
}

/// What a conversation of two has and a group has not.
#[must_use]
pub fn direct(member: &Value) -> Value {
    let more = json!({
        "isGroup": false, "participantKey": "filled", "!name": null, "!groupId": null, "!group": null,
        "!admin": null, "!avatar": null, "!avatarUrl": null,
    });
    with(conversation(member), more)
}

/// The conversation of a group.
#[must_use]
pub fn of_group(member: &Value) -> Value {
    let more = json!({
        "isGroup": true, "!participantKey": null, "groupId": "id", "group": "id", "admin": "id",
        "avatar?": "text", "avatarUrl?": "text",
    });
    with(conversation(member), more)
}

/// A row of the list of conversations, beside the conversation.
#[must_use]
pub fn row(conversation: Value, last_message: &Value) -> Value {
    let more = json!({
        "lastMessage?": last_message, "lastPreview": "text", "lastFrom": "text",
        "lastOutgoingAt": "date|null", "unreadCount": "int",
    });
    with(conversation, more)
}

/// A stored message inside a conversation, whose people have a shape.
#[must_use]
pub fn message_document(person: &Value) -> Value {
    json!({
        "_id": "id", "messageId": "id", "from": person, "sender": person, "to?": "id",
        "conversation": "id", "conversationId": "id", "text": "text", "content": "text", "type": "filled", "status": "filled",
        "readBy": ["id"], "deleted": "bool", "isDeleted": "bool", "deletedFor": ["id"], "edited": "bool",
        "forwarded": "bool", "callActivity": "bool", "isVideoCall": "bool", "reactions": ["object"],
        "voice": "object", "createdAt": "date", "updatedAt": "date", "fileUrl?": "text", "media?": "text",
        "fileName?": "text", "fileType?": "text", "audioDuration?": "int", "editedAt?": "date",
    })
}

/// What every message has.
fn message() -> Value {
    json!({
        "_id": "id", "messageId": "id", "conversationId": "id", "conversation": "id", "from": "id",
        "sender": "id", "to?": "id", "text": "text", "content": "text",
        "type": "=text|=image|=video|=file|=audio|=location|=contact|=voice", "deleted": false,
        "isDeleted": false, "createdAt": "date",
    })
}

/// The fields of files, calls and answers, none of which a plain text has.
const PARTS: [&str; 16] = [
    "fileUrl",
    "media",
    "fileName",
    "fileType",
    "audioDuration",
    "messageType",
    "callActivity",
    "callType",
    "callStatus",
    "isVideoCall",
    "callStartTime",
    "callDuration",
    "replyTo",
    "replyToMessage",
    "forwarded",
    "forwardedFrom",
];

/// A message in the answer to a send: one that is text alone, but for the given parts. It has nothing of
/// what only events have.
#[must_use]
pub fn payload(parts: Value) -> Value {
    let is_given = |part: &str| {
        let optional = format!("{part}?");
        parts.get(part).is_some() || parts.get(&optional).is_some()
    };
    let mut shape = with(message(), json!({ "!clientId": null, "!lastMessageAt": null }));
    for part in PARTS.iter().filter(|part| !is_given(part)) {
        shape[format!("!{part}")] = Value::Null;
    }
    with(shape, parts)
}

/// The answer to a send.
#[must_use]
pub fn sent(parts: &Value) -> Value {
    let payload = payload(parts.clone());
    ok(json!({ "ok": true, "message": payload, "data": payload, "conversationId": "id" }))
}

/// A message in a history: one that is text alone, but for the given parts.
#[must_use]
pub fn history_item(parts: Value) -> Value {
    let more = json!({
        "edited": "bool", "editedAt?": "date", "!status": null, "!readBy": null, "!clientId": null,
        "!deletedAt": null,
    });
    with(with(payload(parts.clone()), more), parts)
}

/// How a group looks, by what of it is filled in.
#[must_use]
pub fn group(admins: &Value, participant: &Value) -> Value {
    json!({
        "_id": "id", "!id": null, "name": "filled", "description?": "text", "admin": card(),
        "admins": [admins], "participants": [participant], "members": ["id"], "avatar?": "text",
        "avatarUrl?": "text", "conversation": "id", "conversationId": "id", "settings": {
            "onlyAdminsCanSendMessages": "bool", "onlyAdminsCanAddMembers": "bool", "isPublic": "bool",
            "inviteLink?": "filled",
        }, "memberCount": "int", "lastActivity": "date", "createdAt": "date", "updatedAt": "date",
    })
}

/// The place of a page.
#[must_use]
pub fn pagination() -> Value {
    json!({ "totalPages": "int", "currentPage": "int", "total": "int", "limit": "int" })
}
