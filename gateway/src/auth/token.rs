//! Verifying a token: its signature, its end, and whom it names. No look at the session.

use std::time::{Duration, SystemTime};

use chat_kit::id::UserId;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, errors::ErrorKind};
use serde::Deserialize;
use serde_json::Value;

use super::Refusal;
use crate::config::Token;

/// Verifies tokens with the present secret, then with the older ones.
pub struct Verifier {
    keys: Vec<DecodingKey>,
    validation: Validation,
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Verifier")
    }
}

/// What a verified token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Id of the account.
    pub user_id: UserId,
    /// Id of the session; absent in old tokens.
    pub session_id: Option<String>,
    /// When the token ends.
    pub expires_at: SystemTime,
}

/// The claims that count; tokens carry the account's id under up to four names.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Claims {
    uid: Option<Value>,
    id: Option<Value>,
    user_id: Option<Value>,
    #[serde(rename = "_id")]
    underscore_id: Option<Value>,
    session_id: Option<Value>,
    exp: f64,
}

impl Verifier {
    /// Makes a verifier.
    #[must_use]
    pub fn new(config: &Token) -> Self {
        let secrets = std::iter::once(&config.secret).chain(&config.previous);
        let mut validation = Validation::new(Algorithm::HS256);
        validation.algorithms.push(Algorithm::HS512);
        validation.leeway = 0;
        validation.validate_nbf = true;
        Self {
            keys: secrets.map(|secret| DecodingKey::from_secret(secret.expose())).collect(),
            validation,
        }
    }

    /// Verifies a token.
    pub fn verify(&self, token: &str) -> Result<Verified, Refusal> {
        for key in &self.keys {
            match jsonwebtoken::decode::<Claims>(token, key, &self.validation) {
                // The library takes a token until the second of its end is over.
                Ok(token) => match token.claims.verified()? {
                    verified if verified.expires_at <= SystemTime::now() => {
                        return Err(invalid("the token has expired"));
                    }
                    verified => return Ok(verified),
                },
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => {}
                    ErrorKind::ExpiredSignature => return Err(invalid("the token has expired")),
                    _ => break,
                },
            }
        }
        Err(invalid("the token is not valid"))
    }
}

impl Claims {
    fn verified(self) -> Result<Verified, Refusal> {
        let mut user_id = None;
        for claim in [self.uid, self.id, self.user_id, self.underscore_id] {
            let Some(text) = text(claim)? else { continue };
            let id: UserId =
                text.parse().map_err(|_| invalid("the token does not name an account"))?;
            if user_id.is_some_and(|first| first != id) {
                return Err(invalid("the token names two accounts"));
            }
            user_id = Some(id);
        }
        let lifetime = Duration::try_from_secs_f64(self.exp).ok();
        Ok(Verified {
            user_id: user_id.ok_or_else(|| invalid("the token does not name an account"))?,
            session_id: text(self.session_id)?,
            expires_at: lifetime
                .and_then(|lifetime| SystemTime::UNIX_EPOCH.checked_add(lifetime))
                .ok_or_else(|| invalid("the token ends at no time"))?,
        })
    }
}

/// Takes a claim's text; an empty one counts as absent.
fn text(claim: Option<Value>) -> Result<Option<String>, Refusal> {
    match claim {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(invalid("the token is not valid")),
    }
}

fn invalid(message: &'static str) -> Refusal {
    Refusal::Invalid("invalid_token", message.into())
}

#[cfg(test)]
mod tests {
    use chat_kit::config::SigningSecret;
    use jsonwebtoken::{EncodingKey, Header, encode, get_current_timestamp};
    use serde_json::json;

    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";
    const OLDER: &str = "fedcba9876543210fedcba9876543210";
    const STRANGE: &str = "another secret that nobody has set";
    const ID: &str = "65f0c0ffee0123456789abcd";
    const OTHER: &str = "65f0c0ffee0123456789abce";

    fn verifier() -> Verifier {
        Verifier::new(&Token {
            secret: SigningSecret::new(SECRET).expect("long enough"),
            previous: vec![SigningSecret::new(OLDER).expect("long enough")],
        })
    }

    fn sign(algorithm: Algorithm, secret: &str, mut claims: Value) -> String {
        if claims.get("exp").is_none() {
            claims["exp"] = json!(get_current_timestamp() + 60);
        }
        let key = EncodingKey::from_secret(secret.as_bytes());
        encode(&Header::new(algorithm), &claims, &key).expect("a token")
    }

    fn verify(claims: Value) -> Result<Verified, Refusal> {
        verifier().verify(&sign(Algorithm::HS256, SECRET, claims))
    }

    fn assert_invalid(verified: Result<Verified, Refusal>) {
        match verified {
            Err(Refusal::Invalid(reason, message)) => {
                assert_eq!(reason, "invalid_token");
                assert!(!message.is_empty());
            }
            other => panic!("not refused: {other:?}"),
        }
    }

    #[test]
    fn all_formats_of_claims_are_accepted() {
        let all = json!({ "uid": ID, "id": ID, "userId": ID, "_id": ID, "sessionId": "s" });
        for (claims, session) in [
            (all, Some("s")),
            (json!({ "uid": ID }), None),
            (json!({ "uid": ID, "sessionId": "" }), None),
            (json!({ "id": ID, "sessionId": "s" }), Some("s")),
            (json!({ "uid": "", "id": null, "userId": ID }), None),
            (json!({ "_id": ID, "device": "x", "ip": "::1", "iat": 1 }), None),
        ] {
            let verified = verify(claims.clone()).expect("a valid token");
            assert_eq!(verified.user_id.to_string(), ID, "{claims}");
            assert_eq!(verified.session_id.as_deref(), session, "{claims}");
        }
    }

    #[test]
    fn both_algorithms_and_all_secrets_are_accepted() {
        for algorithm in [Algorithm::HS256, Algorithm::HS512] {
            for secret in [SECRET, OLDER] {
                let token = sign(algorithm, secret, json!({ "uid": ID }));
                assert!(verifier().verify(&token).is_ok(), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn other_algorithms_and_secrets_are_refused() {
        assert_invalid(verifier().verify(&sign(Algorithm::HS256, STRANGE, json!({ "uid": ID }))));
        assert_invalid(verifier().verify(&sign(Algorithm::HS384, SECRET, json!({ "uid": ID }))));
        // {"alg":"none","typ":"JWT"} before {"uid":"65f0c0ffee0123456789abcd","exp":9999999999}
        let unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.\
            eyJ1aWQiOiI2NWYwYzBmZmVlMDEyMzQ1Njc4OWFiY2QiLCJleHAiOjk5OTk5OTk5OTl9.";
        assert_invalid(verifier().verify(unsigned));
        for text in ["", "x", "a.b.c", "Bearer x"] {
            assert_invalid(verifier().verify(text));
        }
    }

    #[test]
    fn token_without_end_or_behind_it_is_refused() {
        let expired = get_current_timestamp() - 1;
        assert_invalid(verify(json!({ "uid": ID, "exp": expired })));
        assert_invalid(verify(json!({ "uid": ID, "exp": "soon" })));
        assert_invalid(verify(json!({ "uid": ID, "exp": null })));
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let endless = encode(&Header::default(), &json!({ "uid": ID }), &key).expect("a token");
        assert_invalid(verifier().verify(&endless));
    }

    #[test]
    fn expired_token_of_an_older_secret_says_that_it_expired() {
        let claims = json!({ "uid": ID, "exp": get_current_timestamp() - 1 });
        let refused = verifier().verify(&sign(Algorithm::HS256, OLDER, claims));
        let expired = Refusal::Invalid("invalid_token", "the token has expired".into());
        assert_eq!(refused, Err(expired));
    }

    #[test]
    fn token_is_expired_from_the_very_second_of_its_end() {
        let claims = json!({ "uid": ID, "exp": get_current_timestamp() });
        assert_invalid(verify(claims));
    }

    #[test]
    fn token_that_is_not_valid_yet_is_refused() {
        let later = get_current_timestamp() + 60;
        assert_invalid(verify(json!({ "uid": ID, "nbf": later })));
        assert!(verify(json!({ "uid": ID, "nbf": later - 120 })).is_ok());
    }

    #[test]
    fn end_of_the_token_is_known() {
        let end = get_current_timestamp() + 60;
        let verified = verify(json!({ "uid": ID, "exp": end })).expect("a valid token");
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(end);
        assert_eq!(verified.expires_at, expected);
    }

    #[test]
    fn claims_that_name_nobody_or_two_are_refused() {
        for claims in [
            json!({}),
            json!({ "uid": "" }),
            json!({ "uid": "someone" }),
            json!({ "uid": 7 }),
            json!({ "uid": { "$ne": null } }),
            json!({ "uid": ID, "id": OTHER }),
            json!({ "uid": ID, "_id": "someone" }),
            json!({ "uid": ID, "sessionId": 7 }),
        ] {
            assert_invalid(verify(claims));
        }
    }
}
