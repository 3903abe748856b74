//! From requests to checked input, and from results to protobuf. Pure.

use std::ops::RangeInclusive;

use bson::DateTime;
use chat_kit::{
    caller::{Actor, Caller},
    config::Secret,
    error::ServiceError as _,
    phone,
    session::SessionHash,
    time,
};
use chat_proto::v1 as pb;
use tonic::Status;

use crate::{
    error::Error,
    otp::{Attempt, SendOtp},
    password::{Identifier, PasswordLogin},
    register::Registration,
    session::{Held, Login},
    store::{otps::Purpose, sessions::Device},
};

/// Longest name of an account, in characters.
pub const LONGEST_NAME: usize = 100;
/// Shortest password of a new account, in characters.
pub const SHORTEST_PASSWORD: usize = 6;
/// Longest password, in characters.
pub const LONGEST_PASSWORD: usize = 1024;
/// Longest name to log in with, in characters; longer than any that a profile has.
pub const LONGEST_IDENTIFIER: usize = 256;
/// Most sessions of one check.
pub const MOST_SESSIONS: usize = 500;
/// Longest text that is kept of a device, in characters.
const LONGEST_DEVICE_TEXT: usize = 256;
/// How many digits a phone may have; more than the longest number of the telephone network.
const PHONE_DIGITS: RangeInclusive<usize> = 10..=20;

/// Returns the calling user and the session of his token, if it has one; a service is refused.
pub fn held_by(caller: &Caller) -> Result<Held, Status> {
    let user_id = caller.user_id()?;
    let session_id = match &caller.actor {
        Actor::User { session_id, .. } => session_id.as_deref(),
        Actor::Service(_) => None,
    };
    Ok(Held { user_id, session: session_id.map(SessionHash::of) })
}

/// Reads the sessions of a check.
pub fn held(request: &pb::CheckSessionsRequest) -> Result<Vec<Held>, Error> {
    if request.sessions.len() > MOST_SESSIONS {
        return Err(Error::TooManySessions);
    }
    let held = |held: &pb::HeldSession| {
        Ok(Held {
            user_id: held.user_id.parse().map_err(|_| Error::NotAnAccount)?,
            session: held.session_id.as_deref().map(SessionHash::of),
        })
    };
    request.sessions.iter().map(held).collect()
}

/// Returns what is wrong with a session that was checked, if anything is.
pub fn dead(index: usize, verdict: Result<Option<DateTime>, Error>) -> Option<pb::DeadSession> {
    let error = verdict.err()?;
    let index = u32::try_from(index).ok()?;
    let (reason, message) = (error.reason().to_owned(), error.to_string());
    Some(pb::DeadSession { index, reason, message })
}

impl TryFrom<pb::SendOtpRequest> for SendOtp {
    type Error = Error;

    fn try_from(request: pb::SendOtpRequest) -> Result<Self, Error> {
        Ok(Self {
            purpose: purpose(request.purpose())?,
            phone: checked_phone(&request.phone)?,
            name: proposed_name(request.name.as_deref())?,
            device: device(request.device),
        })
    }
}

impl TryFrom<pb::VerifyLoginRequest> for Attempt {
    type Error = Error;

    fn try_from(request: pb::VerifyLoginRequest) -> Result<Self, Error> {
        Ok(Self {
            purpose: Purpose::Login,
            otp_session_id: request.otp_session_id,
            code: checked_code(request.code)?,
            phone: None,
            device: device(request.device),
        })
    }
}

impl TryFrom<pb::VerifyRegistrationRequest> for Registration {
    type Error = Error;

    fn try_from(request: pb::VerifyRegistrationRequest) -> Result<Self, Error> {
        let name = proposed_name(Some(&request.name))?.ok_or(Error::BlankName)?;
        let attempt = Attempt {
            purpose: Purpose::Registration,
            otp_session_id: request.otp_session_id,
            code: checked_code(request.code)?,
            phone: Some(phone::normalise(&request.phone)),
            device: device(request.device),
        };
        let password = new_password(request.password.as_deref())?;
        Ok(Self { name, password, attempt })
    }
}

impl TryFrom<pb::VerifyPasswordRequest> for PasswordLogin {
    type Error = Error;

    fn try_from(request: pb::VerifyPasswordRequest) -> Result<Self, Error> {
        let name = request.identifier;
        if name.chars().count() > LONGEST_IDENTIFIER {
            return Err(Error::IdentifierTooLong);
        }
        let phone = checked_phone(&name).ok();
        Ok(Self {
            identifier: Identifier { name, phone },
            password: Secret::new(checked_password(&request.password)?),
            device: device(request.device),
        })
    }
}

impl From<Login> for pb::Login {
    fn from(login: Login) -> Self {
        Self {
            token: login.token,
            session_id: login.session_id,
            expires_at: Some(time::to_timestamp(login.expires_at)),
            user: Some(login.user),
        }
    }
}

fn purpose(purpose: pb::OtpPurpose) -> Result<Purpose, Error> {
    match purpose {
        pb::OtpPurpose::Login => Ok(Purpose::Login),
        pb::OtpPurpose::Registration => Ok(Purpose::Registration),
        pb::OtpPurpose::Unspecified => Err(Error::UnknownPurpose),
    }
}

fn checked_phone(text: &str) -> Result<String, Error> {
    let phone = phone::normalise(text);
    let digits = phone.len().saturating_sub(1);
    if PHONE_DIGITS.contains(&digits) { Ok(phone) } else { Err(Error::InvalidPhone) }
}

/// Reads the password of a new account, which needs none: an empty text is none.
fn new_password(given: Option<&str>) -> Result<Option<Secret>, Error> {
    let Some(given) = given.filter(|given| !given.is_empty()) else { return Ok(None) };
    let password = checked_password(given)?;
    if length(password) < SHORTEST_PASSWORD {
        return Err(Error::PasswordTooShort);
    }
    Ok(Some(Secret::new(password)))
}

/// Takes the blanks off a password, as the predecessor did before it hashed one: those of JavaScript.
fn checked_password(text: &str) -> Result<&str, Error> {
    const NEXT_LINE: char = '\u{85}';
    const BYTE_ORDER_MARK: char = '\u{feff}';
    let password = text.trim_matches(|letter: char| {
        letter == BYTE_ORDER_MARK || (letter.is_whitespace() && letter != NEXT_LINE)
    });
    if length(password) > LONGEST_PASSWORD { Err(Error::PasswordTooLong) } else { Ok(password) }
}

/// Counts as the clients do, in UTF-16 code units.
fn length(text: &str) -> usize {
    text.encode_utf16().count()
}

fn checked_code(code: String) -> Result<String, Error> {
    if code.len() == 6 && code.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(code)
    } else {
        Err(Error::InvalidOtpFormat)
    }
}

fn proposed_name(name: Option<&str>) -> Result<Option<String>, Error> {
    let name = name.unwrap_or_default().trim();
    if name.chars().count() > LONGEST_NAME {
        return Err(Error::NameTooLong);
    }
    Ok((!name.is_empty()).then(|| name.to_owned()))
}

fn device(device: Option<pb::Device>) -> Device {
    let device = device.unwrap_or_default();
    let cut = |text: String| text.chars().take(LONGEST_DEVICE_TEXT).collect();
    Device {
        name: cut(device.name),
        address: cut(device.address),
        user_agent: cut(device.user_agent),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phone_has_ten_to_twenty_digits() {
        for text in ["", "555", "+123456789", "+123456789012345678901", "no digits"] {
            let refused = checked_phone(text);
            assert!(matches!(refused, Err(Error::InvalidPhone)), "{text}");
        }
        for text in ["+1234567890", "+12345678901234567890"] {
            assert_eq!(checked_phone(text).expect("a phone"), text);
        }
    }

    #[test]
    fn code_has_exactly_six_ascii_digits() {
        for text in ["", "12345", "1234567", "12345a", " 12345", "١٢٣"] {
            let refused = checked_code(text.to_owned());
            assert!(matches!(refused, Err(Error::InvalidOtpFormat)), "{text}");
        }
        assert_eq!(checked_code("012345".to_owned()).expect("a code"), "012345");
    }

    #[test]
    fn blank_name_is_absent() {
        for name in [None, Some(""), Some(" \t")] {
            assert_eq!(proposed_name(name).expect("no name"), None);
        }
        let name = proposed_name(Some(" Ann ")).expect("a name");
        assert_eq!(name.as_deref(), Some("Ann"));
    }

    #[test]
    fn name_is_capped_in_characters() {
        let longest = "é".repeat(LONGEST_NAME);
        assert!(proposed_name(Some(&longest)).is_ok());
        let longer = proposed_name(Some(&"é".repeat(LONGEST_NAME + 1)));
        assert!(matches!(longer, Err(Error::NameTooLong)));
    }

    #[test]
    fn password_has_no_blanks_around_it_and_an_end() {
        for (text, password) in [
            (" \t\u{a0}\u{feff}pass word\r\n", "pass word"),
            ("\u{85}password\u{85}", "\u{85}password\u{85}"),
            ("  ", ""),
        ] {
            assert_eq!(checked_password(text).expect("a password"), password, "{text:?}");
        }
        let longest = "é".repeat(LONGEST_PASSWORD);
        assert!(checked_password(&longest).is_ok());
        let longer = format!("{longest}é");
        assert!(matches!(checked_password(&longer), Err(Error::PasswordTooLong)));
    }

    #[test]
    fn password_of_a_registration_is_absent_or_long_enough() {
        let registration = |password: Option<&str>| {
            Registration::try_from(pb::VerifyRegistrationRequest {
                otp_session_id: "s".to_owned(),
                code: "123456".to_owned(),
                phone: "+15550000001".to_owned(),
                name: "Ann".to_owned(),
                device: None,
                password: password.map(str::to_owned),
            })
        };
        for none in [None, Some("")] {
            assert!(registration(none).expect("accepted").password.is_none());
        }
        for short in [" ", "12345", "  12345  ", "\u{feff}12345\u{a0}", "😀😀"] {
            let refused = registration(Some(short));
            assert!(matches!(refused, Err(Error::PasswordTooShort)), "{short:?}");
        }
        for (given, kept) in [(" 123456 ", "123456"), ("😀😀😀", "😀😀😀")] {
            let password = registration(Some(given)).expect("accepted").password;
            assert_eq!(password.expect("long enough").expose(), kept);
        }
    }

    #[test]
    fn identifier_is_a_name_and_may_be_a_phone() {
        let identifier = |text: &str| {
            let request = pb::VerifyPasswordRequest {
                identifier: text.to_owned(),
                ..pb::VerifyPasswordRequest::default()
            };
            PasswordLogin::try_from(request).expect("accepted").identifier
        };
        for text in ["1 (555) 000-0001", "+15550000001", "Ann 15550000001"] {
            let identifier = identifier(text);
            assert_eq!(identifier.phone.as_deref(), Some("+15550000001"));
            assert_eq!(identifier.name, text);
        }
        for text in ["Ann", " Ann 2 ", "", "123456789"] {
            let identifier = identifier(text);
            assert_eq!((identifier.name.as_str(), identifier.phone), (text, None));
        }
    }

    #[test]
    fn texts_of_a_device_are_cut() {
        let device =
            device(Some(pb::Device { user_agent: "x".repeat(1000), ..pb::Device::default() }));
        assert_eq!(device.user_agent.len(), LONGEST_DEVICE_TEXT);
    }
}
