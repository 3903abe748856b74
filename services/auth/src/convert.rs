//! From requests to checked input, and from results to protobuf. Pure.

use std::ops::RangeInclusive;

use chat_kit::{
    caller::{Actor, Caller},
    id::UserId,
    phone, time,
};
use chat_proto::v1 as pb;
use tonic::Status;

use crate::{
    error::Error,
    otp::{Attempt, SendOtp},
    register::Registration,
    session::Login,
    store::{otps::Purpose, sessions::Device},
};

/// Longest name of an account, in characters.
pub const LONGEST_NAME: usize = 100;
/// Longest text that is kept of a device, in characters.
const LONGEST_DEVICE_TEXT: usize = 256;
/// How many digits a phone may have; more than the longest number of the telephone network.
const PHONE_DIGITS: RangeInclusive<usize> = 10..=20;

/// Returns the calling user and the session of his token, if it has one; a service is refused.
pub fn session_of(caller: &Caller) -> Result<(UserId, Option<&str>), Status> {
    let user_id = caller.user_id()?;
    match &caller.actor {
        Actor::User { session_id, .. } => Ok((user_id, session_id.as_deref())),
        Actor::Service(_) => Ok((user_id, None)),
    }
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
        Ok(Self { name, attempt })
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
    fn texts_of_a_device_are_cut() {
        let device =
            device(Some(pb::Device { user_agent: "x".repeat(1000), ..pb::Device::default() }));
        assert_eq!(device.user_agent.len(), LONGEST_DEVICE_TEXT);
    }
}
