//! Notes of what happened in a group, which stand in its history between the messages: `Ada added Grace`.

use chat_kit::{
    caller::Caller,
    client::Channel,
    id::{ConversationId, UserId},
    outbox::Entry,
};
use chat_proto::v1::{
    self as pb, message_service_client::MessageServiceClient,
    user_service_client::UserServiceClient,
};
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::Change;

/// What a user is called whose profile is not there.
const NOBODY: &str = "Somebody";

/// What the history says of a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Note {
    /// Somebody was added.
    MemberAdded,
    /// Somebody came by himself.
    MemberJoined,
    /// Somebody was removed.
    MemberRemoved,
    /// Somebody left.
    MemberLeft,
    /// Somebody was made an administrator.
    AdminAdded,
    /// Somebody was made a plain member.
    AdminRemoved,
    /// The group has this name now.
    GroupRenamed(String),
    /// The group has another picture, or none any more.
    PictureChanged,
}

impl Note {
    /// Returns the name of its kind, for programs.
    fn kind(&self) -> &'static str {
        match self {
            Self::MemberAdded => "member_added",
            Self::MemberJoined => "member_joined",
            Self::MemberRemoved => "member_removed",
            Self::MemberLeft => "member_left",
            Self::AdminAdded => "admin_added",
            Self::AdminRemoved => "admin_removed",
            Self::GroupRenamed(_) => "group_renamed",
            Self::PictureChanged => "picture_changed",
        }
    }

    /// Returns its text, for people. `user` is whom it happened to.
    fn text(&self, actor: &str, user: &str) -> String {
        match self {
            Self::MemberAdded => format!("{actor} added {user}"),
            Self::MemberJoined => format!("{actor} joined"),
            Self::MemberRemoved => format!("{actor} removed {user}"),
            Self::MemberLeft => format!("{actor} left"),
            Self::AdminAdded => format!("{actor} made {user} an administrator"),
            Self::AdminRemoved => format!("{actor} made {user} a member as any other"),
            Self::GroupRenamed(name) => format!("{actor} named the group \u{201c}{name}\u{201d}"),
            Self::PictureChanged => format!("{actor} changed the picture of the group"),
        }
    }
}

/// Writes notes into histories.
#[derive(Clone, Debug)]
pub(crate) struct Notes {
    users: UserServiceClient<Channel>,
    messages: MessageServiceClient<Channel>,
}

impl Notes {
    pub(crate) fn new(
        users: UserServiceClient<Channel>,
        messages: MessageServiceClient<Channel>,
    ) -> Self {
        Self { users, messages }
    }

    /// Writes the note of a change, once however often it is called. One that will never be taken is
    /// given up, lest it keep back what comes after it.
    pub(super) async fn write(
        &self,
        conversation: ConversationId,
        entry: &Entry<Change>,
        request_id: &str,
    ) -> anyhow::Result<()> {
        let Some(note) = &entry.change.note else {
            return Ok(());
        };
        let caller = Caller::service(crate::NAME, request_id);
        let (actor, users) = (entry.change.actor_id, &entry.change.user_ids);
        let (actor_name, user_name) = self.names(&caller, actor, users.first().copied()).await?;
        let request = caller.request(pb::SendSystemMessageRequest {
            conversation_id: conversation.to_string(),
            // The change's id, so that every repetition is known.
            message_id: entry.id.to_hex(),
            actor_id: actor.to_string(),
            content: note.text(&actor_name, &user_name),
            note: Some(pb::SystemNote {
                kind: note.kind().to_owned(),
                user_ids: users.iter().map(UserId::to_string).collect(),
            }),
        });
        match self.messages.clone().send_system_message(request).await {
            Err(status) if is_final(status.code()) => {
                tracing::error!(%conversation, kind = note.kind(), %status, "note given up");
                Ok(())
            }
            outcome => Ok(outcome.map(drop)?),
        }
    }

    async fn names(
        &self,
        caller: &Caller,
        actor: UserId,
        user: Option<UserId>,
    ) -> anyhow::Result<(String, String)> {
        let wanted = std::iter::once(actor).chain(user);
        let user_ids = wanted.map(|id| id.to_string()).collect();
        let request = caller.request(pb::GetUsersRequest { user_ids });
        let found = self.users.clone().get_users(request).await?.into_inner().users;
        let name = |id: UserId| {
            let id = id.to_string();
            let user = found.iter().find(|user| user.id == id);
            user.map_or_else(|| NOBODY.to_owned(), |user| user.name.clone())
        };
        Ok((name(actor), user.map(name).unwrap_or_default()))
    }
}

/// Says whether a refusal will be the same whenever the note is sent again.
fn is_final(code: Code) -> bool {
    match code {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::OutOfRange => true,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::DeadlineExceeded
        | Code::ResourceExhausted
        | Code::Aborted
        | Code::Unimplemented
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_note_has_a_kind_and_a_text() {
        for (note, kind, text) in [
            (Note::MemberAdded, "member_added", "Ada added Grace"),
            (Note::MemberJoined, "member_joined", "Ada joined"),
            (Note::MemberRemoved, "member_removed", "Ada removed Grace"),
            (Note::MemberLeft, "member_left", "Ada left"),
            (Note::AdminAdded, "admin_added", "Ada made Grace an administrator"),
            (Note::AdminRemoved, "admin_removed", "Ada made Grace a member as any other"),
            (Note::GroupRenamed("Go".to_owned()), "group_renamed", "Ada named the group “Go”"),
            (Note::PictureChanged, "picture_changed", "Ada changed the picture of the group"),
        ] {
            assert_eq!((note.kind(), note.text("Ada", "Grace").as_str()), (kind, text));
        }
    }
}
