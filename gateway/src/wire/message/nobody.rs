//! What is said of a recipient whom nobody knows.

use axum::http::StatusCode;
use chat_kit::{id::UserId, phone};
use chat_proto::v1::{SendMessageRequest, send_message_request::Target};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;

/// Most characters of what a client sent that come back.
const MOST_CHARACTERS: usize = 64;

/// How a recipient was named whom nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = UnknownRecipient)]
pub struct NobodyThere {
    /// What was sent, up to 64 characters of it
    phone: String,
    /// What was looked for: a number as `+` and digits, an address, or an id; empty where it is none of these
    normalized: String,
    /// What to do about it, for people
    suggestion: &'static str,
}

impl NobodyThere {
    /// Returns how a message names its recipient, where it does so by a phone, an address or the like.
    #[must_use]
    pub fn of(request: &SendMessageRequest) -> Option<Self> {
        let Some(Target::Contact(contact)) = &request.target else { return None };
        let phone: String = contact.chars().take(MOST_CHARACTERS).collect();
        let suggestion =
            "check the number and its country code; whoever has no account yet must register first";
        Some(Self { normalized: normalized(&phone), phone, suggestion })
    }

    /// Adds this to a refusal that says that there is no such user.
    #[must_use]
    pub fn told_with(self, error: ApiError) -> ApiError {
        if error.status != StatusCode::NOT_FOUND || error.error != "user_not_found" {
            return error;
        }
        ApiError { details: Some(Box::new(self)), ..error }
    }
}

/// Returns what is looked for: digits are those of a phone where the text is no address and no id.
fn normalized(contact: &str) -> String {
    let contact = contact.trim();
    if contact.contains('@') {
        return contact.to_lowercase();
    }
    let id = contact.parse::<UserId>();
    id.map_or_else(|_| phone::normalise(contact), |id| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(target: Target) -> Option<NobodyThere> {
        NobodyThere::of(&SendMessageRequest { target: Some(target), ..Default::default() })
    }

    #[test]
    fn recipient_is_told_as_he_was_named_within_bounds() {
        for (contact, phone, normalized) in [
            ("1 (555) 000-0001", "1 (555) 000-0001", "+15550000001"),
            ("nobody", "nobody", ""),
            (" Ada@Example.ORG", " Ada@Example.ORG", "ada@example.org"),
            ("65F0C0FFEE0123456789ABCD", "65F0C0FFEE0123456789ABCD", "65f0c0ffee0123456789abcd"),
            (&"9".repeat(5000), &*"9".repeat(64), &*format!("+{}", "9".repeat(64))),
        ] {
            let there = named(Target::Contact(contact.to_owned())).expect("a contact");
            assert_eq!((&*there.phone, &*there.normalized), (phone, normalized));
            assert!(!there.suggestion.is_empty());
        }
        assert_eq!(named(Target::UserId("x".to_owned())), None);
    }

    #[test]
    fn nothing_is_added_to_any_other_refusal() {
        let there = named(Target::Contact("x".to_owned())).expect("a contact");
        let no_user = ApiError::new(StatusCode::NOT_FOUND, "user_not_found", "text");
        assert!(there.clone().told_with(no_user).details.is_some());
        for other in [
            ApiError::new(StatusCode::UNAUTHORIZED, "user_not_found", "text"),
            ApiError::new(StatusCode::NOT_FOUND, "conversation_not_found", "text"),
            ApiError::unavailable(),
        ] {
            assert_eq!(there.clone().told_with(other.clone()), other);
        }
    }
}
