//! What the processes of the suite are told: the one place that spells their variables.

use std::net::SocketAddr;

use super::{Addresses, METRICS_PORTS, Options};
use crate::child::Variables;

/// The limits of a gateway.
const LIMITS: [&str; 14] = [
    "CHAT_LIMITS__REQUESTS__PER_MINUTE",
    "CHAT_LIMITS__REQUESTS__BURST",
    "CHAT_LIMITS__MESSAGES__PER_MINUTE",
    "CHAT_LIMITS__MESSAGES__BURST",
    "CHAT_LIMITS__CONTACTS__PER_MINUTE",
    "CHAT_LIMITS__CONTACTS__BURST",
    "CHAT_LIMITS__ADDRESSES__PER_MINUTE",
    "CHAT_LIMITS__ADDRESSES__BURST",
    "CHAT_LIMITS__EVENTS__PER_MINUTE",
    "CHAT_LIMITS__EVENTS__BURST",
    "CHAT_LIMITS__HANDSHAKES__PER_MINUTE",
    "CHAT_LIMITS__HANDSHAKES__BURST",
    "CHAT_LIMITS__CONNECTS__PER_MINUTE",
    "CHAT_LIMITS__CONNECTS__BURST",
];

/// How often calls may be placed.
const CALL_LIMITS: [&str; 3] = [
    "CHAT_LIMITS__CALLS_PER_MINUTE",
    "CHAT_LIMITS__CALLS_PER_TEN_MINUTES",
    "CHAT_LIMITS__CALLS_PER_PAIR",
];

/// Returns the variables of a service.
pub(super) fn service(
    name: &str,
    address: SocketAddr,
    options: &Options,
    addresses: &Addresses,
) -> Variables {
    let mut variables = shared(address, options);
    variables.extend([
        ("CHAT_GRPC__LISTEN", address.to_string()),
        ("CHAT_MONGO__URI", options.mongodb_uri.clone()),
        ("CHAT_MONGO__DATABASE", format!("{}{name}", options.database_prefix)),
    ]);
    match name {
        "auth" => {
            // As `suite::development_otp` has them.
            let unlimited = u32::MAX.to_string();
            variables.extend([
                token_secret(options),
                ("CHAT_NATS__URL", options.nats_url.clone()),
                ("CHAT_USER__URL", addresses.urls("user")),
                ("CHAT_OTP__PROVIDER", "log".to_owned()),
                ("CHAT_OTP__ECHO", "true".to_owned()),
                ("CHAT_OTP__LIMITS__SENDS_PER_ADDRESS", unlimited.clone()),
                ("CHAT_OTP__LIMITS__FAILURES_PER_ADDRESS", unlimited),
            ]);
        }
        "conversation" => {
            let secret = options.invite_secret_file.display().to_string();
            variables.extend([
                ("CHAT_NATS__URL", options.nats_url.clone()),
                ("CHAT_USER__URL", addresses.urls("user")),
                ("CHAT_MESSAGE__URL", addresses.urls("message")),
                ("CHAT_INVITE__SECRET_FILE", secret),
            ]);
        }
        "call" => {
            // As `suite::development_call_limits` has them.
            let limits = CALL_LIMITS.map(|key| (key, u32::MAX.to_string()));
            variables.extend(limits);
            variables.extend([
                ("CHAT_NATS__URL", options.nats_url.clone()),
                ("CHAT_USER__URL", addresses.urls("user")),
                ("CHAT_CONVERSATION__URL", addresses.urls("conversation")),
            ]);
        }
        "user" | "message" => variables.extend([
            ("CHAT_NATS__URL", options.nats_url.clone()),
            ("CHAT_CONVERSATION__URL", addresses.urls("conversation")),
        ]),
        _ => {}
    }
    variables
}

/// Returns the variables of a gateway.
pub(super) fn gateway(address: SocketAddr, options: &Options, addresses: &Addresses) -> Variables {
    let mut variables = shared(address, options);
    variables.extend([
        ("CHAT_LISTEN", address.to_string()),
        ("CHAT_NATS__URL", options.nats_url.clone()),
        token_secret(options),
        ("CHAT_AUTH__URL", addresses.urls("auth")),
        ("CHAT_USER__URL", addresses.urls("user")),
        ("CHAT_CONVERSATION__URL", addresses.urls("conversation")),
        ("CHAT_MESSAGE__URL", addresses.urls("message")),
        ("CHAT_CALL__URL", addresses.urls("call")),
    ]);
    // As `suite::development_limits` has them.
    let limits = LIMITS.map(|key| (key, u32::MAX.to_string()));
    variables.extend(limits);
    variables
}

fn shared(address: SocketAddr, options: &Options) -> Variables {
    let mut variables = vec![
        ("CHAT_TELEMETRY__FORMAT", "pretty".to_owned()),
        ("CHAT_TELEMETRY__FILTER", options.filter.clone()),
        ("CHAT_STOP__DRAIN", "5s".to_owned()),
    ];
    if options.port.is_some() {
        let metrics = (address.ip(), address.port().saturating_add(METRICS_PORTS));
        variables.push(("CHAT_TELEMETRY__METRICS__LISTEN", SocketAddr::from(metrics).to_string()));
    }
    if let Some(otlp) = &options.otlp {
        variables.push(("CHAT_TELEMETRY__OTLP__ENDPOINT", otlp.to_string()));
    }
    variables
}

fn token_secret(options: &Options) -> (&'static str, String) {
    ("CHAT_TOKEN__SECRET_FILE", options.token_secret_file.display().to_string())
}
