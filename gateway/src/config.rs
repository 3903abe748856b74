//! The configuration of the process: the shared sections, the services behind the gateway, and what
//! HTTP clients may do.

use std::{
    net::SocketAddr,
    num::{NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use axum::http::HeaderValue;
use chat_kit::config::{
    self, ConfigError, Nats, Secret, SigningSecret, Stop, Telemetry, Upstream, duration, list,
};
use serde::{Deserialize, Deserializer, de};

/// Shortest time that a request may get: the calls behind it end after five seconds by default, and
/// their error must still reach the client.
const SHORTEST_TIMEOUT: Duration = Duration::from_secs(1);

/// Configuration of the gateway.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Address to listen on for HTTP and Socket.IO.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// How the process ends.
    #[serde(default)]
    pub stop: Stop,
    /// Logs.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Where events come from.
    pub nats: Nats,
    /// How tokens are verified.
    pub token: Token,
    /// The auth service.
    pub auth: Upstream,
    /// The user service.
    pub user: Upstream,
    /// The conversation service.
    pub conversation: Upstream,
    /// The message service.
    pub message: Upstream,
    /// The call service.
    pub call: Upstream,
    /// What HTTP clients may do.
    #[serde(default)]
    pub http: Http,
    /// How often clients may ask.
    #[serde(default)]
    pub limits: Limits,
    /// The sessions of connected sockets.
    #[serde(default)]
    pub sessions: Sessions,
    /// The sockets that calls are bound to.
    #[serde(default)]
    pub calls: Calls,
}

impl Config {
    /// Loads the configuration of the process.
    pub fn load() -> Result<Self, ConfigError> {
        config::load(&["nats", "token", "auth", "user", "conversation", "message", "call"])
    }
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 3000))
}

/// How tokens are verified.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawToken")]
pub struct Token {
    /// The secret that signs tokens today.
    pub secret: SigningSecret,
    /// Older secrets whose tokens are still accepted.
    pub previous: Vec<SigningSecret>,
}

impl Token {
    /// Describes tokens of one secret.
    #[must_use]
    pub fn new(secret: SigningSecret) -> Self {
        Self { secret, previous: Vec::new() }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawToken {
    secret: Option<Secret>,
    secret_file: Option<PathBuf>,
    #[serde(default, deserialize_with = "list")]
    previous: Vec<String>,
    previous_file: Option<PathBuf>,
}

impl TryFrom<RawToken> for Token {
    type Error = String;

    fn try_from(raw: RawToken) -> Result<Self, String> {
        let secret = config::read_secret("token.secret", raw.secret, raw.secret_file)?;
        let previous = match raw.previous_file {
            None => raw.previous,
            Some(_) if !raw.previous.is_empty() => {
                return Err(
                    "token.previous and token.previous_file are both set: remove one".to_owned()
                );
            }
            // One secret a line.
            Some(path) => std::fs::read_to_string(&path)
                .map_err(|error| format!("token.previous_file {}: {error}", path.display()))?
                .lines()
                .filter(|line| !line.is_empty())
                .map(str::to_owned)
                .collect(),
        };
        let previous = previous.iter().map(|secret| SigningSecret::new(secret));
        Ok(Self {
            secret: SigningSecret::new(secret.expose())?,
            previous: previous
                .collect::<Result<_, _>>()
                .map_err(|error| format!("token.previous: {error}"))?,
        })
    }
}

/// The sessions of connected sockets.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sessions {
    /// How often the auth service is asked whether the sessions of all sockets live. A revocation is
    /// usually heard of within a second; this is for those that were not announced.
    #[serde(deserialize_with = "check_interval")]
    pub check_interval: Duration,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { check_interval: Duration::from_secs(30) }
    }
}

fn check_interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let interval = duration(deserializer)?;
    if interval.is_zero() {
        return Err(de::Error::custom("sessions.check_interval is zero"));
    }
    Ok(interval)
}

/// The sockets that calls are bound to.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Calls {
    /// How often the call service is told that they are there. Three times that must be shorter than what
    /// the service takes for their end.
    #[serde(deserialize_with = "renew_interval")]
    pub renew_interval: Duration,
}

impl Default for Calls {
    fn default() -> Self {
        Self { renew_interval: Duration::from_secs(3) }
    }
}

fn renew_interval<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let interval = duration(deserializer)?;
    if interval.is_zero() {
        return Err(de::Error::custom("calls.renew_interval is zero"));
    }
    Ok(interval)
}

/// How often clients may ask. Every gateway counts for itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests of one user, of whatever kind.
    pub requests: Rate,
    /// Messages that one user sends, by request or on sockets.
    pub messages: Rate,
    /// Address books of one user.
    pub contacts: Rate,
    /// Requests of one address that are in nobody's name, such as logins.
    pub addresses: Rate,
    /// Events of one user's sockets.
    pub events: Rate,
    /// Transports that one address opens, whoever will be on them.
    pub handshakes: Rate,
    /// Sockets of one user that are let in.
    pub connects: Rate,
}

impl Default for Limits {
    fn default() -> Self {
        let rate = |per_minute, burst| {
            let number = |number| NonZeroU32::new(number).expect("not zero");
            Rate { per_minute: number(per_minute), burst: number(burst) }
        };
        Self {
            // An idle mobile client makes up to some 60 in a minute, all at once.
            requests: rate(600, 200),
            messages: rate(120, 60),
            contacts: rate(3, 10),
            // Many users may share an address.
            addresses: rate(1200, 300),
            // Receipts are two or three for each message that comes, also in a busy group.
            events: rate(6000, 1000),
            // Thousands behind one address come back together when a gateway has ended.
            handshakes: rate(12_000, 10_000),
            // A device that loses its connection again and again waits a second or more each time.
            connects: rate(120, 120),
        }
    }
}

/// How often somebody may do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How often in a minute, for as long as it may be.
    pub per_minute: NonZeroU32,
    /// How often at once, after a while without.
    pub burst: NonZeroU32,
}

/// What HTTP clients may do.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Origins whose pages may call the gateway, such as `http://localhost:3000`. Pages of a packaged
    /// program have `null` or `file://`; pages in a sandbox have `null`, too.
    #[serde(deserialize_with = "origins")]
    pub origins: Vec<HeaderValue>,
    /// How many trusted proxies stand in front, each of which appends whom it heard to the header
    /// `X-Forwarded-For`. With none, the header is ignored.
    pub proxies: usize,
    /// Largest body, in bytes.
    pub body_limit: usize,
    /// Longest path and query, in bytes.
    pub url_limit: usize,
    /// How long an answer may take. Longer than the deadline of a call to a service, so that its
    /// error is what the client sees.
    #[serde(deserialize_with = "timeout")]
    pub timeout: Duration,
    /// How long the check of a session and the caller's own profile wait for a service that cannot be
    /// reached: an error there makes old clients forget that they are logged in.
    #[serde(deserialize_with = "duration")]
    pub hold: Duration,
    /// How many connections may be open; further ones wait to be accepted.
    pub connections: NonZeroUsize,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            origins: vec![
                HeaderValue::from_static("http://localhost:3000"),
                HeaderValue::from_static("http://localhost:8080"),
            ],
            proxies: 0,
            body_limit: 1 << 20,
            url_limit: 40 << 10,
            timeout: Duration::from_secs(15),
            connections: NonZeroUsize::new(20_000).expect("not zero"),
            hold: Duration::from_secs(3),
        }
    }
}

fn timeout<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let timeout = duration(deserializer)?;
    if timeout < SHORTEST_TIMEOUT {
        return Err(de::Error::custom("http.timeout is shorter than a second"));
    }
    Ok(timeout)
}

fn origins<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderValue>, D::Error> {
    let mut origins = Vec::new();
    for text in list(deserializer)? {
        // Answers carry credentials, which browsers refuse together with the wildcard.
        let is_page_of_a_program = ["null", "file://"].contains(&text.as_str());
        if !is_page_of_a_program && (!text.contains("://") || text.ends_with('/')) {
            return Err(de::Error::custom(format!(
                "`{text}` is not an origin: write scheme, host and port, without a path, or `null` or \
                 `file://` for pages of a program"
            )));
        }
        let origin = HeaderValue::try_from(&text);
        origins.push(origin.map_err(|_| de::Error::custom(format!("`{text}` is not an origin")))?);
    }
    Ok(origins)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    fn token(json: serde_json::Value) -> Result<Token, String> {
        serde_json::from_value(json).map_err(|error| error.to_string())
    }

    #[test]
    fn older_secrets_are_a_list_in_one_variable() {
        let previous = format!("{SECRET}1, {SECRET}2");
        let token = token(serde_json::json!({ "secret": SECRET, "previous": previous }))
            .expect("three good secrets");
        assert_eq!(token.previous.len(), 2);
    }

    #[test]
    fn older_secrets_may_stand_in_a_file_one_a_line() {
        let path = std::env::temp_dir().join(format!("previous-{}", uuid::Uuid::new_v4()));
        std::fs::write(&path, format!("{SECRET}1\r\n\n{SECRET}2\n")).expect("written");
        let json = serde_json::json!({ "secret": SECRET, "previous_file": path });
        let both =
            serde_json::json!({ "secret": SECRET, "previous_file": path, "previous": SECRET });
        let (read, both) = (token(json), token(both));
        std::fs::remove_file(&path).expect("removed");
        let previous = read.expect("three good secrets").previous;
        let previous: Vec<&[u8]> = previous.iter().map(SigningSecret::expose).collect();
        assert_eq!(previous, [format!("{SECRET}1").as_bytes(), format!("{SECRET}2").as_bytes()]);
        assert!(both.expect_err("both are set").contains("remove one"));
        let json = serde_json::json!({ "secret": SECRET, "previous_file": path });
        assert!(token(json).expect_err("no file").contains("token.previous_file"));
    }

    #[test]
    fn sessions_are_not_checked_without_pause() {
        for interval in ["0s", "soon"] {
            let json = serde_json::json!({ "check_interval": interval });
            serde_json::from_value::<Sessions>(json).expect_err(interval);
        }
    }

    #[test]
    fn sockets_of_calls_are_not_renewed_without_pause() {
        let json = serde_json::json!({ "renew_interval": "0s" });
        serde_json::from_value::<Calls>(json).expect_err("no pause");
    }

    #[test]
    fn weak_older_secret_is_refused_by_its_key() {
        let error = token(serde_json::json!({ "secret": SECRET, "previous": ["short"] }))
            .expect_err("five bytes are too few");
        assert!(error.starts_with("token.previous: "), "{error}");
    }

    #[test]
    fn wildcard_is_not_an_origin() {
        let error = serde_json::from_str::<Http>(r#"{"origins": "*"}"#).expect_err("a wildcard");
        assert!(error.to_string().contains("not an origin"), "{error}");
    }

    #[test]
    fn origins_are_a_list() {
        let http: Http = serde_json::from_str(r#"{"origins": "https://a.example, http://b:1"}"#)
            .expect("two origins");
        assert_eq!(http.origins, ["https://a.example", "http://b:1"]);
    }

    #[test]
    fn pages_of_programs_have_origins_of_their_own() {
        let http: Http =
            serde_json::from_str(r#"{"origins": "null, file://"}"#).expect("two origins");
        assert_eq!(http.origins, ["null", "file://"]);
        for origin in ["Null", "file:///", "file:", "https://a.example/", "none"] {
            let json = serde_json::json!({ "origins": origin });
            let error = serde_json::from_value::<Http>(json).expect_err(origin);
            assert!(error.to_string().contains("`null` or `file://`"), "{error}");
        }
    }
}
