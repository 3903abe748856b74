//! What somebody wants to change in his profile, checked.

use bson::DateTime;
use chat_kit::picture;
use chat_proto::v1 as pb;

use crate::{
    config::Limits,
    error::Error,
    profile::{Changes, Edit},
    visibility::Privacy,
};

/// Reads the changes of a profile.
pub(crate) fn changes(
    request: pb::UpdateProfileRequest,
    limits: &Limits,
) -> Result<Changes, Error> {
    let (name_length, bio_length) = (limits.new_name_length.get(), limits.bio_length.get());
    let last_seen_privacy = request
        .last_seen_privacy
        .map(|privacy| Privacy::try_from(privacy).map_err(|()| Error::InvalidPrivacy))
        .transpose()?;
    Ok(Changes {
        name: request.name.map(|name| new_name(&name, name_length)).transpose()?,
        bio: edit("bio", request.bio, bio_length)?,
        avatar_url: avatar_url(request.avatar_url, limits.url_length.get())?,
        username: edit("username", request.username, name_length)?,
        date_of_birth: date_of_birth(request.date_of_birth)?,
        last_seen_privacy,
    })
}

fn new_name(name: &str, most: usize) -> Result<String, Error> {
    let name = name.trim();
    if name.is_empty() {
        return Err(Error::BlankName);
    }
    if name.chars().count() > most {
        return Err(Error::NameTooLong(most));
    }
    Ok(name.to_owned())
}

/// Reads a text that may be removed.
fn edit(field: &'static str, text: Option<String>, most: usize) -> Result<Edit<String>, Error> {
    let Some(text) = text else { return Ok(Edit::Keep) };
    let text = text.trim();
    if text.is_empty() {
        return Ok(Edit::Clear);
    }
    if text.chars().count() > most {
        return Err(Error::TooLong { field, most });
    }
    Ok(Edit::Set(text.to_owned()))
}

fn avatar_url(text: Option<String>, most: usize) -> Result<Edit<String>, Error> {
    let edit = edit("avatar_url", text, most)?;
    match &edit {
        Edit::Set(url) if !picture::is_url(url) => Err(Error::InvalidAvatarUrl),
        _ => Ok(edit),
    }
}

fn date_of_birth(text: Option<String>) -> Result<Edit<DateTime>, Error> {
    let Some(text) = text else { return Ok(Edit::Keep) };
    if text.is_empty() {
        return Ok(Edit::Clear);
    }
    let is_day = text.len() == "2000-01-31".len();
    let day = DateTime::parse_rfc3339_str(format!("{text}T00:00:00Z")).ok();
    match day.filter(|day| is_day && *day <= DateTime::now()) {
        Some(day) => Ok(Edit::Set(day)),
        None => Err(Error::InvalidDateOfBirth),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(request: pb::UpdateProfileRequest) -> Result<Changes, Error> {
        changes(request, &Limits::default())
    }

    #[test]
    fn what_is_not_given_stays_and_what_is_empty_goes() {
        assert_eq!(read(pb::UpdateProfileRequest::default()).expect("read"), Changes::default());
        let blank = || Some(" ".to_owned());
        let cleared = read(pb::UpdateProfileRequest {
            bio: blank(),
            avatar_url: blank(),
            username: blank(),
            date_of_birth: Some(String::new()),
            ..Default::default()
        });
        let expected = Changes {
            name: None,
            bio: Edit::Clear,
            avatar_url: Edit::Clear,
            username: Edit::Clear,
            date_of_birth: Edit::Clear,
            last_seen_privacy: None,
        };
        assert_eq!(cleared.expect("read"), expected);
    }

    #[test]
    fn lengths_are_those_of_characters() {
        let with_bio =
            |bio: String| read(pb::UpdateProfileRequest { bio: Some(bio), ..Default::default() });
        with_bio("ö".repeat(500)).expect("500 characters");
        let error = with_bio("ö".repeat(501)).expect_err("501 characters");
        assert_eq!(error.to_string(), "`bio` exceeds 500 characters");
        let with_name = |name: String| {
            read(pb::UpdateProfileRequest { name: Some(name), ..Default::default() })
        };
        assert_eq!(with_name(" Ödön ".to_owned()).expect("a name").name.as_deref(), Some("Ödön"));
        with_name("ö".repeat(100)).expect("100 characters");
        with_name("ö".repeat(101)).expect_err("101 characters");
        with_name(" \n".to_owned()).expect_err("blank");
    }

    #[test]
    fn picture_is_a_web_address_or_a_path() {
        let with_url = |url: &str| {
            let avatar_url = Some(url.to_owned());
            read(pb::UpdateProfileRequest { avatar_url, ..Default::default() })
        };
        for url in ["https://x/a.png", "HTTP://x:80/a?b=c:d", "/uploads/a.png", "a.png", "/a:b"] {
            with_url(url).expect(url);
        }
        for url in ["javascript:alert(1)", "data:image/png;base64,AA", "file:///x", "a b", "a\0b"] {
            with_url(url).expect_err(url);
        }
        with_url(&format!("https://x/{}", "a".repeat(2048))).expect_err("long");
    }

    #[test]
    fn day_of_birth_is_a_day_of_the_past() {
        let with_day = |day: &str| {
            let date_of_birth = Some(day.to_owned());
            read(pb::UpdateProfileRequest { date_of_birth, ..Default::default() })
        };
        let read = with_day("1815-12-10").expect("a day").date_of_birth;
        assert_eq!(read, Edit::Set(DateTime::from_millis(-4_861_728_000_000)));
        for day in ["2023-02-29", "9999-01-01", "yesterday", "2000-01-01T00:00:00", "+2000-01-1"] {
            with_day(day).expect_err(day);
        }
    }
}
