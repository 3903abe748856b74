//! Signs the tokens that clients hold.

use std::time::Duration;

use bson::DateTime;
use chat_kit::id::UserId;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;

use crate::{config::Token, error::Error};

/// Signs tokens.
pub struct Signer {
    key: EncodingKey,
    ttl: Duration,
}

/// A token with its end.
pub struct Signed {
    /// The token.
    pub token: String,
    /// When it expires; a full second, as tokens know no fractions.
    pub expires_at: DateTime,
}

/// The claims. The user's id has four names because every old verifier looks for another one.
#[derive(Serialize)]
struct Claims<'a> {
    uid: &'a str,
    id: &'a str,
    #[serde(rename = "userId")]
    user_id: &'a str,
    #[serde(rename = "_id")]
    underscore_id: &'a str,
    #[serde(rename = "sessionId")]
    session_id: &'a str,
    iat: i64,
    exp: i64,
}

impl Signer {
    /// Takes secret and lifetime from the configuration.
    pub fn new(config: &Token) -> Self {
        Self { key: EncodingKey::from_secret(config.secret.expose()), ttl: config.ttl }
    }

    /// Signs a token of a session.
    pub fn sign(&self, user_id: UserId, session_id: &str, now: DateTime) -> Result<Signed, Error> {
        let issued = now.timestamp_millis().div_euclid(1000);
        let ttl = i64::try_from(self.ttl.as_secs()).unwrap_or(i64::MAX);
        let expires = issued.saturating_add(ttl);
        let id = user_id.to_string();
        let claims = Claims {
            uid: &id,
            id: &id,
            user_id: &id,
            underscore_id: &id,
            session_id,
            iat: issued,
            exp: expires,
        };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &self.key)?;
        Ok(Signed { token, expires_at: DateTime::from_millis(expires.saturating_mul(1000)) })
    }
}
