//! What a process tells about itself: log lines always, traces and metrics where they are asked for.

use std::net::SocketAddr;

use http::{Uri, uri::Scheme};
use serde::{Deserialize, Deserializer, de};

/// What a process tells about itself.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// How log lines look.
    pub format: LogFormat,
    /// Which log lines are written, in the syntax of `tracing_subscriber::EnvFilter`.
    pub filter: String,
    /// Where traces go.
    pub otlp: Otlp,
    /// Where metrics are read.
    pub metrics: Metrics,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            format: LogFormat::Json,
            filter: "info".to_owned(),
            otlp: Otlp::default(),
            metrics: Metrics::default(),
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Pretty,
}

/// The collector that traces go to, by OTLP over gRPC.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Otlp {
    /// Where it is, such as `http://collector:4317`. Nothing is traced where absent.
    #[serde(deserialize_with = "endpoint")]
    pub endpoint: Option<Uri>,
    /// Which share of the traces that begin here is kept, from 0 to 1.
    #[serde(deserialize_with = "share")]
    pub sampling_ratio: f64,
}

impl Default for Otlp {
    fn default() -> Self {
        Self { endpoint: None, sampling_ratio: 1.0 }
    }
}

/// The listener of metrics.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Metrics {
    /// Address to serve them at. None are kept where absent.
    pub listen: Option<SocketAddr>,
}

/// Reads the address of a collector. One that needs TLS or a token is reached through one that does not.
pub fn collector(text: &str) -> Result<Uri, String> {
    let uri: Option<Uri> = text.parse().ok();
    uri.filter(|uri| uri.scheme() == Some(&Scheme::HTTP) && uri.authority().is_some())
        .ok_or_else(|| format!("`{text}` is not a collector's address: write http://host:4317"))
}

fn endpoint<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Uri>, D::Error> {
    let text = String::deserialize(deserializer)?;
    collector(&text).map(Some).map_err(de::Error::custom)
}

fn share<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if (0.0..=1.0).contains(&share) {
        Ok(share)
    } else {
        Err(de::Error::custom(format!("the share {share} does not lie between 0 and 1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::from_sources;

    #[derive(Debug, Deserialize)]
    struct Sample {
        #[serde(default)]
        telemetry: Telemetry,
    }

    fn read(variable: &str, value: &str) -> Result<Telemetry, String> {
        let variables = [(format!("CHAT_TELEMETRY__{variable}"), value.to_owned())];
        let read = from_sources::<Sample>(&[], None, variables.into_iter().collect());
        read.map(|sample| sample.telemetry).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_is_traced_or_measured_unless_asked_for() {
        let telemetry = read("FORMAT", "pretty").expect("a format");
        assert!(telemetry.otlp.endpoint.is_none() && telemetry.metrics.listen.is_none());
    }

    #[test]
    fn collector_and_listener_are_read_from_variables() {
        let telemetry = read("OTLP__ENDPOINT", "http://collector:4317").expect("an address");
        assert_eq!(telemetry.otlp.endpoint.expect("set").port_u16(), Some(4317));
        let telemetry = read("OTLP__SAMPLING_RATIO", "0.25").expect("a share");
        assert!((telemetry.otlp.sampling_ratio - 0.25).abs() < f64::EPSILON);
        let telemetry = read("METRICS__LISTEN", "127.0.0.1:9464").expect("an address");
        assert_eq!(telemetry.metrics.listen.expect("set").port(), 9464);
    }

    #[test]
    fn value_that_cannot_be_used_is_refused_by_name() {
        for (variable, value, complaint) in [
            ("OTLP__ENDPOINT", "collector:4317", "http://host:4317"),
            ("OTLP__ENDPOINT", "https://collector", "http://host:4317"),
            ("OTLP__ENDPOINT", "", "http://host:4317"),
            ("OTLP__SAMPLING_RATIO", "1.5", "between 0 and 1"),
            ("OTLP__SAMPLING_RATIO", "NaN", "between 0 and 1"),
            ("OTLP__SAMPLING_RATIO", "often", "often"),
            ("METRICS__LISTEN", "9464", "metrics.listen"),
        ] {
            let error = read(variable, value).expect_err(value);
            assert!(error.contains(complaint), "{variable}={value}: {error}");
        }
    }
}
