//! Contacts: the address book of a client, and who of it has an account.

use std::{collections::HashSet, fmt};

use axum::{http::StatusCode, response::Response};
use chat_kit::phone;
use chat_proto::v1 as pb;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};
use serde_json::Number;
use utoipa::ToSchema;

use super::{Dialect, envelope};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
};

/// Most contacts of one request.
const MOST: usize = 5000;
/// Longest phone that is looked up; nobody has a longer one.
const LONGEST_PHONE: usize = 64;

/// An address book.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[schema(as = SyncContactsRequest)]
pub struct Sync {
    #[serde(default, deserialize_with = "phones")]
    #[schema(value_type = Vec<Contact>, required, max_items = 5000)]
    contacts: Option<Phones>,
}

/// The phones of an address book, each once, and how many contacts it had.
#[derive(Clone, Debug, Default)]
struct Phones {
    phones: HashSet<String>,
    count: usize,
}

/// A contact in one of its forms; what has no phone is passed over.
#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Contact {
    Text(String),
    #[schema(value_type = f64)]
    Number(Number),
    Entry {
        phone: Option<Phone>,
    },
    #[schema(value_type = serde_json::Value)]
    Other(IgnoredAny),
}

#[derive(Deserialize, ToSchema)]
#[serde(untagged)]
enum Phone {
    Text(String),
    #[schema(value_type = f64)]
    Number(Number),
    #[schema(value_type = serde_json::Value)]
    Other(IgnoredAny),
}

impl Contact {
    fn phone(self) -> Option<String> {
        match self {
            Self::Text(text) | Self::Entry { phone: Some(Phone::Text(text)) } => Some(text),
            Self::Number(number) | Self::Entry { phone: Some(Phone::Number(number)) } => {
                Some(number.to_string())
            }
            Self::Entry { phone: None | Some(Phone::Other(_)) } | Self::Other(_) => None,
        }
    }
}

fn phones<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Phones>, D::Error> {
    deserializer.deserialize_seq(Contacts).map(Some)
}

/// Reads contacts one by one, and keeps nothing of them but their phones.
struct Contacts;

impl<'de> Visitor<'de> for Contacts {
    type Value = Phones;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list of contacts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut contacts: A) -> Result<Phones, A::Error> {
        let mut read = Phones::default();
        while let Some(contact) = contacts.next_element::<Contact>()? {
            read.count += 1;
            let phone = contact.phone().filter(|_| read.count <= MOST);
            let phone = phone.map(|phone| phone::normalise(&phone));
            let is_phone = |phone: &String| !phone.is_empty() && phone.len() <= LONGEST_PHONE;
            read.phones.extend(phone.filter(is_phone));
        }
        Ok(read)
    }
}

impl Sync {
    /// Makes the canonical request; there is none for an address book without phones.
    pub fn into_request(self) -> Result<Option<pb::FindUsersByPhonesRequest>, ApiError> {
        let Some(Phones { phones, count }) = self.contacts else {
            return Err(ApiError::validation(
                "contacts is a list of phones, or of objects with `phone`",
            ));
        };
        if count > MOST {
            let message = format!("{count} contacts at once: send at most {MOST} in one request");
            let status = StatusCode::PAYLOAD_TOO_LARGE;
            return Err(ApiError::new(status, "too_many_contacts", message));
        }
        let phones: Vec<String> = phones.into_iter().collect();
        Ok((!phones.is_empty()).then_some(pb::FindUsersByPhonesRequest { phones }))
    }
}

/// Somebody of the address book, as new clients read him.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedMatch)]
struct Match<'a> {
    id: &'a str,
    name: &'a str,
    phone: Option<&'a str>,
    avatar_url: Option<&'a str>,
}

impl<'a> From<&'a pb::User> for Match<'a> {
    fn from(user: &'a pb::User) -> Self {
        Self {
            id: &user.id,
            name: &user.name,
            phone: user.phone.as_deref(),
            avatar_url: user.avatar_url.as_deref(),
        }
    }
}

/// Somebody of the address book, as both old families read him.
#[derive(Serialize, ToSchema)]
struct OldMatch<'a> {
    #[serde(flatten)]
    user: Match<'a>,
    avatar: Option<&'a str>,
}

impl<'a> From<&'a pb::User> for OldMatch<'a> {
    fn from(user: &'a pb::User) -> Self {
        Self { user: user.into(), avatar: user.avatar_url.as_deref() }
    }
}

#[derive(Serialize, ToSchema)]
struct Matches<T> {
    #[schema(inline)]
    matches: Vec<T>,
}

/// Answers with those of the address book who have an account.
#[must_use]
pub fn matched(dialect: Dialect, users: &[pb::User]) -> Response {
    if dialect == Dialect::Unified {
        return envelope::ok(Matches { matches: users.iter().map(Match::from).collect() });
    }
    envelope::ok(Matches { matches: users.iter().map(OldMatch::from).collect() })
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let old = Form::old::<Matches<OldMatch<'_>>>();
    schemas.answer("MatchesAnswer", [old, Form::unified::<Matches<Match<'_>>>()]);
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;
    use crate::wire::fields;

    fn asked(body: &Value) -> Result<Vec<String>, ApiError> {
        let sync: Sync = fields::typed(body.to_string().as_bytes())?;
        let mut phones = sync.into_request()?.map_or_else(Vec::new, |request| request.phones);
        phones.sort();
        Ok(phones)
    }

    #[test]
    fn contacts_are_phones_or_objects_with_one() {
        let body = json!({ "contacts": [
            "+1 555", { "phone": "1-555", "name": "Ada \u{1f44b}", "emails": [{}] }, { "phone": 1556 },
            "", " ", null, {}, { "phone": null }, { "phone": ["x"] }, { "phone": {} }, 1557, true,
            ["+1558"], "1".repeat(65),
        ] });
        assert_eq!(asked(&body).expect("phones"), ["+1555", "+1556", "+1557"]);
        assert_eq!(asked(&json!({ "contacts": [] })), Ok(vec![]));
        for form in [
            "contacts[]=%2B1555&contacts[]=1555",
            "contacts=1555&contacts=%2B1555",
            "contacts[0][name]=Ada&contacts[0][phone]=1555&contacts[4999][phone]=%2B1555",
        ] {
            let form = fields::form(form.as_bytes()).expect("a form");
            let sync: Sync = fields::read(form).expect("contacts");
            assert_eq!(sync.into_request().expect("a request").expect("phones").phones, ["+1555"]);
        }
    }

    #[test]
    fn name_cut_in_the_middle_of_a_character_is_passed_over() {
        let body = br#"{"contacts":[{"phone":"1555","name":"a\ud83d"}]}"#;
        let sync: Sync = fields::typed(body).expect("contacts");
        assert!(sync.into_request().expect("a request").is_some());
    }

    #[test]
    fn contacts_are_a_list() {
        for body in
            [json!({}), json!({ "contacts": null }), json!({ "contacts": "+1555" }), json!([])]
        {
            assert_eq!(asked(&body).expect_err("no list").error, "validation_error", "{body}");
        }
    }

    #[test]
    fn address_book_has_an_end() {
        let contacts = |count| json!({ "contacts": vec!["+1555"; count] });
        assert_eq!(asked(&contacts(5000)).expect("one phone").len(), 1);
        let form = |count| {
            let contacts =
                (0..count).map(|at| format!("contacts[{at}][phone]=1555&contacts[{at}][name]=A"));
            let form = contacts.collect::<Vec<_>>().join("&");
            let sync: Sync = fields::read(fields::form(form.as_bytes())?)?;
            Ok(sync.into_request()?.map_or(0, |request| request.phones.len()))
        };
        assert_eq!(form(5000), Ok(1));
        for error in
            [asked(&contacts(5001)).expect_err("too many"), form(5001).expect_err("as many")]
        {
            assert_eq!((error.status.as_u16(), error.error.as_ref()), (413, "too_many_contacts"));
        }
    }

    #[tokio::test]
    async fn match_has_both_spellings_of_the_picture_but_for_new_clients() {
        let user = pb::User {
            id: "1".to_owned(),
            name: "Ada".to_owned(),
            phone: Some("+1".to_owned()),
            ..Default::default()
        };
        for (dialect, expected) in [
            (
                Dialect::Undeclared,
                json!({ "id": "1", "name": "Ada", "phone": "+1", "avatar": null, "avatarUrl": null }),
            ),
            (
                Dialect::Unified,
                json!({ "id": "1", "name": "Ada", "phone": "+1", "avatarUrl": null }),
            ),
        ] {
            let response = matched(dialect, std::slice::from_ref(&user));
            let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            let body: Value = serde_json::from_slice(&bytes).expect("JSON");
            assert_eq!(body, json!({ "success": true, "matches": [expected] }));
        }
    }
}
