//! Strict typed configuration: defaults, then the TOML file named by `CHAT_CONFIG`, then `CHAT_*`
//! variables with `__` between levels. Sections that several processes share; no service's own keys.

mod secret;
mod telemetry;

use std::{env, net::SocketAddr, time::Duration};

use serde::{Deserialize, Deserializer, de, de::DeserializeOwned};
use tonic::transport::Uri;

pub use secret::{Secret, SigningSecret, read_secret};
pub use telemetry::{LogFormat, Metrics, Otlp, Telemetry, collector};

/// Why a configuration cannot be used; displayed in one line.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A value is missing, unknown or not of its type.
    #[error("configuration: {0}")]
    Invalid(#[from] config::ConfigError),
    /// A variable's name or value is not UTF-8.
    #[error("configuration: the environment variable {0} is not UTF-8")]
    NotUnicode(String),
}

/// Loads a process's configuration.
///
/// `sections` names the sections without which the process cannot start, so that a missing one is
/// reported by the key that it lacks.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn load<T: DeserializeOwned>(sections: &[&str]) -> Result<T, ConfigError> {
    let mut variables = config::Map::new();
    for (name, value) in env::vars_os() {
        let Some(name) = name.to_str().filter(|name| name.starts_with("CHAT_")) else {
            continue;
        };
        let value = value.into_string().map_err(|_| ConfigError::NotUnicode(name.to_owned()))?;
        variables.insert(name.to_owned(), value);
    }
    let file = variables.remove("CHAT_CONFIG");
    from_sources(sections, file.as_deref(), variables)
}

fn from_sources<T: DeserializeOwned>(
    sections: &[&str],
    file: Option<&str>,
    variables: config::Map<String, String>,
) -> Result<T, ConfigError> {
    let mut builder = config::Config::builder();
    for section in sections {
        builder = builder.set_default(*section, config::Map::<String, config::Value>::new())?;
    }
    if let Some(file) = file {
        builder = builder.add_source(config::File::new(file, config::FileFormat::Toml));
    }
    let environment = config::Environment::with_prefix("CHAT")
        .prefix_separator("_")
        .separator("__")
        .source(Some(variables));
    Ok(builder.add_source(environment).build()?.try_deserialize()?)
}

/// The gRPC server of a service.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Grpc {
    /// Address to listen on.
    pub listen: SocketAddr,
    /// How long a call may take; a shorter deadline of the caller wins.
    #[serde(deserialize_with = "duration")]
    pub timeout: Duration,
    /// How many calls one connection may have open; further ones are refused as unavailable.
    pub concurrency: usize,
    /// Age at which a connection is closed, so that callers spread over new replicas.
    #[serde(deserialize_with = "duration")]
    pub connection_age: Duration,
}

impl Default for Grpc {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 50051)),
            timeout: Duration::from_secs(10),
            concurrency: 1024,
            connection_age: Duration::from_mins(5),
        }
    }
}

/// How a process ends.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stop {
    /// How long the process still accepts work after it has said that it is not ready any more.
    #[serde(deserialize_with = "duration")]
    pub pause: Duration,
    /// How long work under way may take after that.
    #[serde(deserialize_with = "duration")]
    pub drain: Duration,
}

impl Default for Stop {
    fn default() -> Self {
        Self { pause: Duration::ZERO, drain: Duration::from_secs(8) }
    }
}

/// A service that this process calls.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Where it is, such as `http://chat-user:50051`: one address or a list. All addresses of a host
    /// name are used, and it is looked up again and again.
    #[serde(rename = "url", deserialize_with = "urls")]
    pub urls: Vec<Uri>,
    /// How long one call may take, its repetitions included.
    #[serde(default = "Upstream::default_timeout", deserialize_with = "duration")]
    pub timeout: Duration,
}

impl Upstream {
    /// Describes a service at an address, with the default deadline.
    #[must_use]
    pub fn new(url: Uri) -> Self {
        Self::replicas(vec![url])
    }

    /// Describes a service with several addresses, with the default deadline.
    #[must_use]
    pub fn replicas(urls: Vec<Uri>) -> Self {
        Self { urls, timeout: Self::default_timeout() }
    }

    fn default_timeout() -> Duration {
        Duration::from_secs(5)
    }
}

/// The MongoDB deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "RawMongo")]
pub struct Mongo {
    /// Connection string; may hold a password.
    pub uri: Secret,
    /// Database of this service; a name of the service's own where absent.
    pub database: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawMongo {
    uri: Option<Secret>,
    uri_file: Option<std::path::PathBuf>,
    database: Option<String>,
}

impl TryFrom<RawMongo> for Mongo {
    type Error = String;

    fn try_from(raw: RawMongo) -> Result<Self, String> {
        let uri = read_secret("mongo.uri", raw.uri, raw.uri_file)?;
        Ok(Self { uri, database: raw.database })
    }
}

/// The NATS deployment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nats {
    /// Address, such as `nats://chat-nats:4222`.
    pub url: Secret,
    /// Copies that the stream of events is kept in; as many as NATS servers, at most 5.
    #[serde(default = "Nats::default_replicas")]
    pub replicas: usize,
    /// Size at which the stream of events drops its oldest ones, in bytes.
    #[serde(default = "Nats::default_max_bytes")]
    pub max_bytes: i64,
    /// Age at which the stream of events drops an event.
    #[serde(default = "Nats::default_max_age", deserialize_with = "duration")]
    pub max_age: Duration,
    /// Events that wait for a busy subscriber; further ones are dropped and fetched again.
    #[serde(default = "Nats::default_subscription_capacity")]
    pub subscription_capacity: usize,
}

impl Nats {
    /// Describes a NATS deployment at an address, with the defaults of the stream.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self {
            url: Secret::new(url),
            replicas: Self::default_replicas(),
            max_bytes: Self::default_max_bytes(),
            max_age: Self::default_max_age(),
            subscription_capacity: Self::default_subscription_capacity(),
        }
    }

    fn default_subscription_capacity() -> usize {
        65_536
    }

    fn default_replicas() -> usize {
        1
    }

    fn default_max_bytes() -> i64 {
        256 << 20
    }

    fn default_max_age() -> Duration {
        Duration::from_hours(1)
    }
}

/// Reads a span of time with its unit, such as `250ms`, `5s` or `10m`.
pub fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text)
        .map_err(|error| de::Error::custom(format!("`{text}` is not a span of time: {error}")))
}

/// Reads the addresses of a service, of which there must be one at least.
fn urls<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Uri>, D::Error> {
    let texts = list(deserializer)?;
    if texts.is_empty() {
        return Err(de::Error::custom("no address, such as `http://chat-user:50051`"));
    }
    let url = |text: &String| -> Result<Uri, D::Error> {
        let url: Uri =
            text.parse().map_err(|error| de::Error::custom(format!("`{text}`: {error}")))?;
        match (url.scheme_str(), url.host()) {
            (Some("http"), Some(_)) => Ok(url),
            _ => Err(de::Error::custom(format!("`{text}` is not like `http://chat-user:50051`"))),
        }
    };
    texts.iter().map(url).collect()
}

/// Reads a list: an array in the file, comma-separated text in a variable.
pub fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum List {
        Text(String),
        Items(Vec<String>),
    }
    Ok(match List::deserialize(deserializer)? {
        List::Text(text) => text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty())
            .map(str::to_owned)
            .collect(),
        List::Items(items) => items,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[serde(default)]
        grpc: Grpc,
        mongo: Mongo,
        #[serde(default, deserialize_with = "list")]
        origins: Vec<String>,
        user: Option<Upstream>,
    }

    fn sample(variables: &[(&str, &str)]) -> Result<Sample, String> {
        let variables =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        from_sources(&["mongo"], None, variables.collect()).map_err(|error| error.to_string())
    }

    #[test]
    fn variables_override_defaults() {
        let loaded = sample(&[
            ("CHAT_MONGO__URI", "mongodb://db"),
            ("CHAT_GRPC__TIMEOUT", "250ms"),
            ("CHAT_GRPC__CONCURRENCY", "7"),
            ("CHAT_ORIGINS", "http://a, http://b"),
        ])
        .expect("a valid configuration");
        assert_eq!(loaded.grpc.timeout, Duration::from_millis(250));
        assert_eq!(loaded.grpc.concurrency, 7);
        assert_eq!(loaded.mongo.uri.expose(), "mongodb://db");
        assert_eq!(loaded.origins, ["http://a", "http://b"]);
    }

    #[test]
    fn missing_secret_is_named_by_its_key() {
        let error = sample(&[]).expect_err("no uri is set");
        assert!(error.contains("mongo.uri is not set"), "{error}");
        assert!(error.contains("CHAT_MONGO__URI"), "{error}");
    }

    #[test]
    fn unknown_key_is_an_error_naming_it() {
        let error = sample(&[("CHAT_MONGO__URI", "mongodb://db"), ("CHAT_GRPC__PORT", "1")])
            .expect_err("grpc has no port");
        assert!(error.contains("port"), "{error}");
        let error = sample(&[("CHAT_MONGO__URI", "mongodb://db"), ("CHAT_NOSUCH", "1")])
            .expect_err("there is no such section");
        assert!(error.contains("nosuch"), "{error}");
    }

    #[test]
    fn value_of_a_wrong_type_is_an_error_naming_it() {
        let error = sample(&[("CHAT_MONGO__URI", "mongodb://db"), ("CHAT_GRPC__TIMEOUT", "soon")])
            .expect_err("`soon` is no span of time");
        assert!(error.contains("soon"), "{error}");
    }

    #[test]
    fn service_has_one_address_or_several() {
        let urls = |text: &str| {
            let loaded = sample(&[("CHAT_MONGO__URI", "mongodb://db"), ("CHAT_USER__URL", text)]);
            loaded.map(|sample| sample.user.expect("a user service").urls)
        };
        assert_eq!(urls("http://a:1").expect("an address").len(), 1);
        let several = urls("http://a:1, http://b:2").expect("two addresses");
        assert_eq!(several, [Uri::from_static("http://a:1"), Uri::from_static("http://b:2")]);
        for wrong in ["", " , ", "http://", "a:1", "https://a:1", "http://a:1,b:2"] {
            let error = urls(wrong).expect_err("no address");
            assert!(error.contains("user.url"), "{wrong}: {error}");
        }
    }
}
