//! Ids of the domain: 24 lower-case hex characters outside, an `ObjectId` inside. Parsing and printing
//! only.

use std::{fmt, str::FromStr};

use bson::oid::ObjectId;
use serde::{Deserialize, Serialize};

/// A text that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has 24 hex characters")]
pub struct InvalidId;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub ObjectId);

        impl $name {
            /// Makes an id that is unique in the suite.
            #[must_use]
            #[expect(clippy::new_without_default, reason = "a default would not be a value")]
            pub fn new() -> Self {
                Self(ObjectId::new())
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                ObjectId::parse_str(text).map(Self).map_err(|_| InvalidId)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }

        impl From<$name> for bson::Bson {
            fn from(id: $name) -> Self {
                Self::ObjectId(id.0)
            }
        }
    };
}

id!(
    /// Id of an account and of its profile.
    UserId
);
id!(
    /// Id of a conversation.
    ConversationId
);
id!(
    /// Id of a message.
    MessageId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn id_prints_as_it_was_parsed() {
        let text = "65f0c0ffee0123456789abcd";
        assert_eq!(text.parse::<UserId>().expect("an id").to_string(), text);
    }

    #[test]
    fn anything_else_is_not_an_id() {
        for text in ["", "65f0", "zzzzzzzzzzzzzzzzzzzzzzzz", "65f0c0ffee0123456789abcd0"] {
            assert_eq!(text.parse::<UserId>(), Err(InvalidId), "{text}");
        }
    }
}
