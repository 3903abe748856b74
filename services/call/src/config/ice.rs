//! The servers that help two devices reach each other: STUN tells a device its address, TURN carries what
//! cannot go directly.

use std::{path::PathBuf, time::Duration};

use chat_kit::config::{Secret, duration, list, read_secret};
use serde::Deserialize;

/// The servers that devices are told of.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(try_from = "RawIce")]
pub struct Ice {
    /// Addresses of STUN servers, `stun:…` or `stuns:…`.
    pub stun: Vec<String>,
    /// The TURN servers, if there are any.
    pub turn: Option<Turn>,
}

/// TURN servers that share a secret with this service.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Their addresses, `turn:…` or `turns:…`.
    pub urls: Vec<String>,
    /// Makes the credentials; the servers know it as their `static-auth-secret`.
    pub secret: Secret,
    /// How long credentials are good for.
    pub ttl: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIce {
    #[serde(default, deserialize_with = "list")]
    stun: Vec<String>,
    turn: Option<RawTurn>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTurn {
    #[serde(rename = "url", deserialize_with = "list")]
    urls: Vec<String>,
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    #[serde(default = "default_ttl", deserialize_with = "duration")]
    ttl: Duration,
}

fn default_ttl() -> Duration {
    Duration::from_hours(12)
}

impl TryFrom<RawIce> for Ice {
    type Error = String;

    fn try_from(raw: RawIce) -> Result<Self, String> {
        check("ice.stun", &raw.stun, &["stun:", "stuns:"])?;
        let turn = raw.turn.map(Turn::try_from).transpose()?;
        Ok(Self { stun: raw.stun, turn })
    }
}

impl TryFrom<RawTurn> for Turn {
    type Error = String;

    fn try_from(raw: RawTurn) -> Result<Self, String> {
        let RawTurn { urls, secret, secret_file, ttl } = raw;
        check("ice.turn.url", &urls, &["turn:", "turns:"])?;
        if urls.is_empty() {
            return Err("ice.turn.url has no address, such as `turn:turn.example.org`".to_owned());
        }
        let secret = read_secret("ice.turn.secret", secret, secret_file)?;
        if secret.expose().is_empty() {
            return Err("ice.turn.secret is empty".to_owned());
        }
        if ttl < Duration::from_mins(1) {
            return Err("ice.turn.ttl must be one minute at least".to_owned());
        }
        Ok(Self { urls, secret, ttl })
    }
}

fn check(key: &str, urls: &[String], schemes: &[&str]) -> Result<(), String> {
    let is_known = |url: &&String| !schemes.iter().any(|scheme| url.starts_with(scheme));
    match urls.iter().find(is_known) {
        Some(url) => Err(format!("{key}: `{url}` does not begin with {}", schemes.join(" or "))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(urls: &[&str], secret: Option<&str>) -> RawTurn {
        RawTurn {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            secret: secret.map(Secret::new),
            secret_file: None,
            ttl: default_ttl(),
        }
    }

    #[test]
    fn turn_needs_addresses_of_its_kind_and_a_secret() {
        Turn::try_from(raw(&["turn:a", "turns:b?transport=tcp"], Some("s"))).expect("complete");
        for (urls, secret) in [
            (&["stun:a"][..], Some("s")),
            (&["turn:a", "b"], Some("s")),
            (&[], Some("s")),
            (&["turn:a"], None),
            (&["turn:a"], Some("")),
        ] {
            Turn::try_from(raw(urls, secret)).expect_err("incomplete");
        }
    }
}
