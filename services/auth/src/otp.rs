//! One-time passwords: made, sent, and consumed by the one verification that wins. A live code works
//! with any live session of its phone and purpose, because clients keep the session of their first
//! request when they ask for another code.

use std::time::Duration;

use aws_lc_rs::{
    hmac,
    rand::{SecureRandom as _, SystemRandom},
};
use bson::{Binary, DateTime, spec::BinarySubtype};
use chat_kit::{config::SigningSecret, time};

use crate::{
    Service, delivery,
    error::Error,
    store::{
        otps::{Guess, Issue, Purpose},
        sessions::Device,
    },
};

/// Separates the keyed hashes of codes from everything else that is made with the same secret.
const HASH_CONTEXT: &str = "chat one-time password";
/// The smallest code, so that all have six digits also where they are read as numbers.
const SMALLEST_CODE: u32 = 100_000;
/// How many codes there are.
const CODE_COUNT: u32 = 900_000;
/// How long an expired session is still told from an unknown one.
const EXPIRED_KEPT_FOR: Duration = Duration::from_hours(1);

/// A checked request for a code.
pub struct SendOtp {
    /// What the code is for.
    pub purpose: Purpose,
    /// Where it goes.
    pub phone: String,
    /// Name that the account gets when the code is verified.
    pub name: Option<String>,
    /// Where the request comes from.
    pub device: Device,
}

/// A code on its way.
pub struct SentOtp {
    /// Id to verify with.
    pub otp_session_id: String,
    /// The code, where the configuration has it echoed.
    pub code: Option<String>,
}

/// A well-formed try of a code.
pub struct Attempt {
    /// What the code is tried for.
    pub purpose: Purpose,
    /// The session it is tried with.
    pub otp_session_id: String,
    /// Six digits.
    pub code: String,
    /// The phone that the session must be of; any where absent.
    pub phone: Option<String>,
    /// Where the try comes from.
    pub device: Device,
}

/// What a consumed code proves.
pub struct Proof {
    /// The phone that the code was sent to.
    pub phone: String,
    /// The name that was proposed with the session.
    pub name: Option<String>,
}

/// Hashes codes, so that the store gives none of them away.
pub struct Key(hmac::Key);

impl Key {
    /// Derives the key from the signing secret.
    pub fn new(secret: &SigningSecret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.expose()))
    }

    fn hash(&self, purpose: Purpose, phone: &str, code: &str) -> Binary {
        // No part can hold the separator, so no two inputs run together into the same bytes.
        let input = [HASH_CONTEXT, purpose.name(), phone, code].join("\0");
        Binary {
            subtype: BinarySubtype::Generic,
            bytes: hmac::sign(&self.0, input.as_bytes()).as_ref().to_vec(),
        }
    }
}

impl Service {
    /// Makes a code and sends it. Nothing about the account changes, whether it exists or not.
    pub async fn send(&self, request: SendOtp) -> Result<SentOtp, Error> {
        let now = DateTime::now();
        let SendOtp { purpose, phone, .. } = &request;
        self.count_send(phone, &request.device.address, now).await?;
        if *purpose == Purpose::Registration && self.store.credentials.has_phone(phone).await? {
            return Err(Error::PhoneTaken);
        }
        let code = new_code()?;
        let otp_session_id = new_otp_session_id()?;
        let expires_at = time::after(now, self.otp.ttl);
        let issue = Issue {
            purpose: *purpose,
            phone,
            otp_session_id: &otp_session_id,
            name: request.name.as_deref(),
            hash: self.otp_key.hash(*purpose, phone, &code),
            now,
            expires_at,
            forget_before: time::before(now, EXPIRED_KEPT_FOR),
            purge_at: time::after(expires_at, EXPIRED_KEPT_FOR),
        };
        self.store.otps.issue(&issue).await?;
        // A process that dies here leaves a code that nobody got; the next request sends another.
        let message = delivery::Message { phone, code: &code, purpose: *purpose, expires_at };
        self.delivery.deliver(&message).await?;
        Ok(SentOtp { otp_session_id, code: self.otp.echo.then_some(code) })
    }

    /// Lets the first right try of a code win and end all codes and sessions of its phone and purpose.
    pub async fn consume(&self, attempt: &Attempt, now: DateTime) -> Result<Proof, Error> {
        let failure = self.reserve_failure(&attempt.device.address, now).await?;
        let (purpose, session_id) = (attempt.purpose, attempt.otp_session_id.as_str());
        let found = self.store.otps.find_by_session(purpose, session_id).await?;
        let otp = found.ok_or(Error::InvalidOtp)?;
        let session = otp.session(session_id).ok_or(Error::InvalidOtp)?;
        if session.expires_at <= now {
            return Err(Error::ExpiredOtp);
        }
        if attempt.phone.as_ref().is_some_and(|phone| *phone != otp.phone) {
            return Err(Error::InvalidOtp);
        }
        // The try is taken before the code is compared, so that parallel guesses cannot exceed the
        // limit. A process that dies before it is given back costs the phone this one try.
        let taken = self.reserve_try(&otp.phone, now).await?;
        let guess = Guess {
            otp_id: &otp.id,
            otp_session_id: session_id,
            hash: self.otp_key.hash(purpose, &otp.phone, &attempt.code),
            now,
        };
        if !self.store.otps.consume(&guess).await? {
            return Err(Error::InvalidOtp);
        }
        self.give_back([Some(taken), failure]).await;
        Ok(Proof { name: session.name.clone(), phone: otp.phone })
    }
}

/// Draws a code, each with the same probability.
fn new_code() -> Result<String, Error> {
    // Numbers beyond the last full round of codes would favour the first ones.
    let fair = u32::MAX - u32::MAX % CODE_COUNT;
    loop {
        let drawn = u32::from_ne_bytes(random()?);
        if drawn < fair {
            return Ok((SMALLEST_CODE + drawn % CODE_COUNT).to_string());
        }
    }
}

fn new_otp_session_id() -> Result<String, Error> {
    Ok(format!("{:032x}", u128::from_be_bytes(random()?)))
}

fn random<const N: usize>() -> Result<[u8; N], Error> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| Error::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_have_six_digits() {
        for _ in 0..1000 {
            let code = new_code().expect("random bytes");
            assert_eq!(code.len(), 6, "{code}");
            assert!(code.bytes().all(|byte| byte.is_ascii_digit()), "{code}");
        }
    }

    #[test]
    fn session_ids_have_32_lower_case_hex_characters() {
        let id = new_otp_session_id().expect("random bytes");
        assert_eq!(id.len(), 32);
        assert!(id.bytes().all(|byte| b"0123456789abcdef".contains(&byte)));
    }

    #[test]
    fn hash_depends_on_purpose_phone_code_and_secret() {
        let key = |text| Key::new(&SigningSecret::new(text).expect("long enough"));
        let (one, other) =
            (key("0123456789abcdef0123456789abcdef"), key("fedcba9876543210fedcba9876543210"));
        let hash = one.hash(Purpose::Login, "+15550000001", "123456");
        for different in [
            one.hash(Purpose::Registration, "+15550000001", "123456"),
            one.hash(Purpose::Login, "+15550000002", "123456"),
            one.hash(Purpose::Login, "+15550000001", "123457"),
            other.hash(Purpose::Login, "+15550000001", "123456"),
        ] {
            assert_ne!(hash, different);
        }
        assert_eq!(hash, one.hash(Purpose::Login, "+15550000001", "123456"));
    }
}
