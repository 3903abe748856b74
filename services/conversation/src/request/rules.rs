//! The state machine of chat requests: what becomes of a conversation when somebody asks, accepts, declines
//! or starts to chat. Pure.

use chat_kit::id::UserId;

use super::RequestError;
use crate::{
    error::Error,
    store::conversations::{Conversation, ConversationStatus},
};

/// A step from one state to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Pending again, by who asks now.
    Ask,
    /// As it is, and the other side hears that it was asked.
    Remind,
    /// Active.
    Accept,
    /// Declined.
    Decline,
}

/// A refusal may be followed by another request, a block by none. Old clients expect that a request is heard
/// whatever the conversation is.
pub(super) fn ask(found: &Conversation, _: UserId) -> Result<Option<Step>, Error> {
    match found.status {
        ConversationStatus::Active | ConversationStatus::Pending => Ok(Some(Step::Remind)),
        ConversationStatus::Declined => Ok(Some(Step::Ask)),
        ConversationStatus::Blocked => Err(Error::NotActive(found.status)),
    }
}

/// Only the side that did not ask accepts.
pub(super) fn accept(found: &Conversation, by: UserId) -> Result<Option<Step>, Error> {
    check(found, by)?;
    match found.status {
        ConversationStatus::Active => Ok(None),
        ConversationStatus::Pending if found.requester() == Some(by) => {
            Err(RequestError::Own.into())
        }
        ConversationStatus::Pending => Ok(Some(Step::Accept)),
        ConversationStatus::Declined | ConversationStatus::Blocked => {
            Err(RequestError::NotPending(found.status).into())
        }
    }
}

/// Either side declines: the one who asked takes his request back.
pub(super) fn decline(found: &Conversation, by: UserId) -> Result<Option<Step>, Error> {
    check(found, by)?;
    match found.status {
        ConversationStatus::Pending => Ok(Some(Step::Decline)),
        ConversationStatus::Declined => Ok(None),
        ConversationStatus::Active | ConversationStatus::Blocked => {
            Err(RequestError::NotPending(found.status).into())
        }
    }
}

/// To start is to accept for the one who was asked, and to wait for the one who asked.
pub(super) fn start(found: &Conversation, by: UserId) -> Result<Option<Step>, Error> {
    match found.status {
        ConversationStatus::Active => Ok(None),
        ConversationStatus::Pending if found.requester() == Some(by) => Ok(None),
        ConversationStatus::Pending => Ok(Some(Step::Accept)),
        ConversationStatus::Declined | ConversationStatus::Blocked => {
            Err(Error::NotActive(found.status))
        }
    }
}

fn check(found: &Conversation, by: UserId) -> Result<(), Error> {
    if !found.member_ids.contains(&by) {
        return Err(Error::NotAMember);
    }
    if found.participant_key.is_none() {
        return Err(RequestError::Group.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bson::doc;

    use super::*;

    type Rule = fn(&Conversation, UserId) -> Result<Option<Step>, Error>;

    fn conversation(requester: UserId, other: UserId, status: &str) -> Conversation {
        let time = bson::DateTime::from_millis(0);
        let stored = doc! {
            "_id": UserId::new(), "status": status, "member_ids": [requester, other],
            "participant_key": "key", "created_by": other, "requested_by": requester,
            "created_at": time, "updated_at": time,
        };
        bson::deserialize_from_document(stored).expect("a conversation")
    }

    fn outcome(rule: Rule, found: &Conversation, by: UserId) -> String {
        match rule(found, by) {
            Ok(None) => "as it is".to_owned(),
            Ok(Some(step)) => format!("{step:?}"),
            Err(Error::Request(error)) => error.reason().to_owned(),
            Err(Error::NotActive(_) | Error::NotAMember) => "forbidden".to_owned(),
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn every_step_from_every_state() {
        let (asks, asked) = (UserId::new(), UserId::new());
        for (status, by_who_asked, by_the_other) in [
            ("active", ["Remind", "as it is", "not_pending", "as it is"], None),
            (
                "pending",
                ["Remind", "forbidden", "Decline", "as it is"],
                Some(["Remind", "Accept", "Decline", "Accept"]),
            ),
            ("declined", ["Ask", "not_pending", "as it is", "forbidden"], None),
            ("blocked", ["forbidden", "not_pending", "not_pending", "forbidden"], None),
        ] {
            let found = conversation(asks, asked, status);
            let by_the_other = by_the_other.unwrap_or(by_who_asked);
            for (by, expected) in [(asks, by_who_asked), (asked, by_the_other)] {
                let rules: [Rule; 4] = [ask, accept, decline, start];
                assert_eq!(rules.map(|rule| outcome(rule, &found, by)), expected, "{status}");
            }
        }
    }

    #[test]
    fn strangers_and_groups_have_no_requests() {
        let (asks, asked) = (UserId::new(), UserId::new());
        for status in ["active", "pending", "declined", "blocked"] {
            let mut found = conversation(asks, asked, status);
            for rule in [accept as Rule, decline] {
                assert_eq!(outcome(rule, &found, UserId::new()), "forbidden");
            }
            found.participant_key = None;
            for rule in [accept as Rule, decline] {
                assert_eq!(outcome(rule, &found, asked), "not_pending");
            }
        }
    }

    #[test]
    fn who_made_a_conversation_asked_first() {
        let (asks, asked) = (UserId::new(), UserId::new());
        let mut found = conversation(asked, asks, "pending");
        found.requested_by = None;
        assert_eq!(outcome(accept, &found, asks), "forbidden");
        assert_eq!(outcome(accept, &found, asked), "Accept");
    }
}
