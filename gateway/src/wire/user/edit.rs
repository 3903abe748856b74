//! What somebody changes in his own profile, in the spellings of all families.

use chat_proto::v1 as pb;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{error::ApiError, wire::fields};

/// Length of a day, `2026-01-31`, at the begin of an instant.
const DAY: usize = 10;

/// Changes of a profile. Unknown fields are ignored, the phone among them.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", default)]
#[schema(as = EditProfileRequest)]
pub struct Edit {
    #[serde(deserialize_with = "given")]
    #[schema(value_type = String)]
    name: Option<Value>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    bio: Option<Value>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    avatar: Option<Value>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    avatar_url: Option<Value>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    username: Option<Value>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>)]
    date_of_birth: Option<Value>,
    #[serde(deserialize_with = "given")]
    #[schema(value_type = String)]
    last_seen_privacy: Option<Value>,
}

/// Names of who sees the presence of somebody.
const PRIVACIES: [(&str, pb::LastSeenPrivacy); 3] = [
    ("everyone", pb::LastSeenPrivacy::Everyone),
    ("contacts", pb::LastSeenPrivacy::Contacts),
    ("nobody", pb::LastSeenPrivacy::Nobody),
];

/// Returns who sees the presence of the owner of a profile, which his own profile alone says.
pub(super) fn privacy(user: &pb::User) -> Option<&'static str> {
    user.last_seen_privacy?;
    PRIVACIES.iter().find(|(_, known)| *known == user.last_seen_privacy()).map(|(name, _)| *name)
}

/// Tells null, which removes, from what is not given.
fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

impl Edit {
    /// Makes the canonical request.
    pub fn into_request(self) -> Result<pb::UpdateProfileRequest, ApiError> {
        let name = match self.name {
            Some(Value::Null) => return Err(ApiError::validation("name is not to be removed")),
            name => text("name", name)?,
        };
        let pictures = [text("avatarUrl", self.avatar_url)?, text("avatar", self.avatar)?];
        let pictures: Vec<String> = pictures.into_iter().flatten().collect();
        // One picture in two spellings: one of them with a value wins over the other without.
        let with_value = pictures.iter().find(|picture| !picture.trim().is_empty());
        Ok(pb::UpdateProfileRequest {
            name,
            bio: text("bio", self.bio)?,
            avatar_url: with_value.or(pictures.first()).cloned(),
            username: text("username", self.username)?,
            date_of_birth: day("dateOfBirth", self.date_of_birth)?,
            last_seen_privacy: seen_by(self.last_seen_privacy)?,
        })
    }
}

/// Reads a text, as [`fields::text`] does; empty stands for null.
fn text(field: &str, value: Option<Value>) -> Result<Option<String>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let text = fields::text(value);
    let text = text.map_err(|error| ApiError::validation(format!("{field}: {error}")))?;
    Ok(Some(text.unwrap_or_default()))
}

fn seen_by(value: Option<Value>) -> Result<Option<i32>, ApiError> {
    let Some(value) = value else { return Ok(None) };
    let named = PRIVACIES.iter().find(|(name, _)| value.as_str() == Some(name));
    let Some((_, privacy)) = named else {
        let message = "lastSeenPrivacy is `everyone`, `contacts` or `nobody`";
        return Err(ApiError::validation(message));
    };
    Ok(Some((*privacy).into()))
}

fn day(field: &str, value: Option<Value>) -> Result<Option<String>, ApiError> {
    let Some(text) = text(field, value)? else { return Ok(None) };
    if text.trim().is_empty() {
        return Ok(Some(String::new()));
    }
    let instant = fields::instant(field, text.trim())?;
    let day = fields::iso(Some(&instant)).and_then(|day| day.get(..DAY).map(str::to_owned));
    day.map(Some).ok_or_else(|| ApiError::validation(format!("{field} is not a day")))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: Value) -> Result<pb::UpdateProfileRequest, ApiError> {
        fields::read::<Edit>(body)?.into_request()
    }

    #[test]
    fn what_is_not_given_stays_and_what_is_unknown_is_ignored() {
        let body = json!({ "phone": "+1555", "email": 7, "password": {}, "name": "Ada" });
        let expected =
            pb::UpdateProfileRequest { name: Some("Ada".to_owned()), ..Default::default() };
        assert_eq!(read(body), Ok(expected));
        assert_eq!(read(json!({})), Ok(pb::UpdateProfileRequest::default()));
    }

    #[test]
    fn null_removes_all_but_the_name() {
        let body = json!({ "bio": null, "avatar": null, "username": null, "dateOfBirth": null });
        let expected = pb::UpdateProfileRequest {
            name: None,
            bio: Some(String::new()),
            avatar_url: Some(String::new()),
            username: Some(String::new()),
            date_of_birth: Some(String::new()),
            last_seen_privacy: None,
        };
        assert_eq!(read(body), Ok(expected));
        assert_eq!(read(json!({ "name": null })).expect_err("no name").error, "validation_error");
    }

    #[test]
    fn picture_has_two_spellings_of_which_one_with_a_value_wins() {
        for (body, picture) in [
            (json!({ "avatarUrl": "/a" }), Some("/a".to_owned())),
            (json!({ "avatar": "/b" }), Some("/b".to_owned())),
            (json!({ "avatarUrl": "/a", "avatar": "/b" }), Some("/a".to_owned())),
            (json!({ "avatarUrl": null, "avatar": "/b" }), Some("/b".to_owned())),
            (json!({ "avatarUrl": "/a", "avatar": "" }), Some("/a".to_owned())),
            (json!({ "avatarUrl": " ", "avatar": "/b" }), Some("/b".to_owned())),
            (json!({ "avatarUrl": null }), Some(String::new())),
            (json!({ "avatar": null, "avatarUrl": null }), Some(String::new())),
            (json!({ "bio": "x" }), None),
        ] {
            assert_eq!(read(body.clone()).expect("read").avatar_url, picture, "{body}");
        }
    }

    #[test]
    fn day_of_birth_is_cut_from_an_instant() {
        for text in ["1815-12-10", "1815-12-10T08:00:00.000Z", " 1815-12-10T08:00:00 "] {
            let day = read(json!({ "dateOfBirth": text })).expect("read").date_of_birth;
            assert_eq!(day, Some("1815-12-10".to_owned()), "{text}");
        }
        read(json!({ "dateOfBirth": "yesterday" })).expect_err("no day");
    }

    #[test]
    fn presence_is_shown_to_everybody_to_contacts_or_to_nobody() {
        for (name, privacy) in PRIVACIES {
            let request = read(json!({ "lastSeenPrivacy": name })).expect("read");
            assert_eq!(request.last_seen_privacy, Some(privacy.into()));
            let user =
                pb::User { last_seen_privacy: request.last_seen_privacy, ..Default::default() };
            assert_eq!(super::privacy(&user), Some(name));
        }
        for value in [json!(null), json!("friends"), json!(""), json!(1), json!(["nobody"])] {
            let error = read(json!({ "lastSeenPrivacy": value })).expect_err("no choice");
            assert_eq!(error.error, "validation_error");
        }
        assert_eq!(super::privacy(&pb::User::default()), None, "somebody else's");
    }

    #[test]
    fn scalars_are_texts() {
        for (value, text) in [(json!(7), "7"), (json!(1.5), "1.5"), (json!(true), "true")] {
            let body = json!({ "name": value, "bio": value, "avatar": value, "username": value });
            let text = Some(text.to_owned());
            let expected = pb::UpdateProfileRequest {
                name: text.clone(),
                bio: text.clone(),
                avatar_url: text.clone(),
                username: text,
                ..Default::default()
            };
            assert_eq!(read(body), Ok(expected));
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_name() {
        for field in ["name", "bio", "avatar", "avatarUrl", "username", "dateOfBirth"] {
            for value in [json!({ "$ne": null }), json!(["x"])] {
                let error = read(json!({ field: value })).expect_err(field);
                assert_eq!(error.error, "validation_error");
                assert!(error.message.starts_with(field), "{error}");
            }
        }
    }
}
