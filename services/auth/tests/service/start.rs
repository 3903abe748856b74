//! The process's start: what its configuration must say.

use std::process::Command;

const COMPLETE: [(&str, &str); 5] = [
    ("CHAT_MONGO__URI", "mongodb://127.0.0.1:1"),
    ("CHAT_NATS__URL", "nats://127.0.0.1:1"),
    ("CHAT_TOKEN__SECRET", crate::support::SECRET),
    ("CHAT_OTP__PROVIDER", "log"),
    ("CHAT_USER__URL", "http://127.0.0.1:1"),
];

/// Starts the process with the complete configuration changed, and returns why it ended.
fn refusal(changed: &str, value: Option<&str>) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-auth"));
    command.env_clear().envs(COMPLETE).env_remove(changed);
    if let Some(value) = value {
        command.env(changed, value);
    }
    let ended = command.output().expect("the process ends");
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(78), "{changed}: {text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

#[test]
fn missing_key_ends_the_start_naming_it() {
    for (variable, key) in [
        ("CHAT_MONGO__URI", "mongo.uri"),
        ("CHAT_NATS__URL", "nats.url"),
        ("CHAT_TOKEN__SECRET", "token.secret"),
        ("CHAT_OTP__PROVIDER", "otp.provider"),
        ("CHAT_USER__URL", "user.url"),
    ] {
        let text = refusal(variable, None);
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn value_that_cannot_be_used_ends_the_start() {
    for (variable, value, complaint) in [
        ("CHAT_OTP__PROVIDER", "pigeon", "pigeon"),
        ("CHAT_OTP__LIMITS__TRIES", "0", "tries"),
        ("CHAT_OTP__LIMITS__NOSUCH", "1", "nosuch"),
        ("CHAT_OTP__TTL", "soon", "soon"),
        ("CHAT_OTP__PROVIDER", "webhook", "otp.webhook.url"),
        ("CHAT_OTP__WEBHOOK__URL", "https://sms", "otp.webhook.secret"),
        ("CHAT_OTP__WEBHOOK__NOSUCH", "1", "nosuch"),
        ("CHAT_PASSWORD__CONCURRENCY", "0", "password.concurrency"),
        ("CHAT_PASSWORD__WAIT", "soon", "soon"),
        ("CHAT_PASSWORD__NOSUCH", "1", "nosuch"),
        ("CHAT_TOKEN__TTL", "0s", "token.ttl"),
        ("CHAT_TOKEN__SESSIONLESS_UNTIL", "soon", "token.sessionless_until"),
        ("CHAT_TOKEN__NOSUCH", "1", "nosuch"),
    ] {
        let text = refusal(variable, Some(value));
        assert!(text.contains(complaint), "{variable}: {text}");
    }
}
