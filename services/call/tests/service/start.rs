//! The process's start: what its configuration must say.

use std::process::Command;

const COMPLETE: [(&str, &str); 5] = [
    ("CHAT_GRPC__LISTEN", "127.0.0.1:0"),
    // Port 1 is never listened on.
    ("CHAT_MONGO__URI", "mongodb://anna:hidden@127.0.0.1:1/?directConnection=true"),
    ("CHAT_NATS__URL", "nats://127.0.0.1:1"),
    ("CHAT_CONVERSATION__URL", "http://127.0.0.1:1"),
    ("CHAT_USER__URL", "http://127.0.0.1:1"),
];

/// Runs the process with changes; `None` takes a variable away. Asserts that it ends with a code and one
/// line; returns the line.
#[track_caller]
fn line(changes: &[(&str, Option<&str>)], code: i32) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-call"));
    command.env_clear().envs(COMPLETE);
    for (variable, value) in changes {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    let ended = command.output().expect("the process ends");
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{changes:?}: {text}");
    assert!(text.starts_with("chat-call: ") && text.lines().count() == 1, "{text}");
    assert!(!text.contains("hidden"), "{text}");
    text
}

#[test]
fn missing_key_ends_the_start_naming_it() {
    for (variable, key) in [
        ("CHAT_MONGO__URI", "mongo.uri"),
        ("CHAT_NATS__URL", "nats.url"),
        ("CHAT_CONVERSATION__URL", "conversation.url"),
        ("CHAT_USER__URL", "user.url"),
    ] {
        let text = line(&[(variable, None)], 78);
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn value_that_cannot_be_used_ends_the_start() {
    for (variable, value, complaint) in [
        ("CHAT_NOSUCH", "1", "nosuch"),
        ("CHAT_CALL__RING_TIMEOUT", "soon", "call.ring_timeout"),
        ("CHAT_CALL__RING_TIMEOUT", "0s", "call.ring_timeout"),
        ("CHAT_CALL__LEASE", "0s", "call.lease"),
        ("CHAT_CALL__MAX_DURATION", "0s", "call.max_duration"),
        ("CHAT_CALL__HOLD_HANG_UPS", "perhaps", "call.hold_hang_ups"),
        ("CHAT_LIMITS__CALLS_PER_MINUTE", "0", "limits.calls_per_minute"),
        ("CHAT_ICE__STUN", "stun.example.org", "ice.stun"),
        ("CHAT_ICE__TURN__URL", "turn:turn.example.org", "ice.turn.secret"),
        ("CHAT_ICE__TURN__SECRET", "north", "url"),
    ] {
        let text = line(&[(variable, Some(value))], 78);
        assert!(text.contains(complaint), "{variable}: {text}");
    }
}

#[test]
fn complete_configuration_is_read_to_its_end() {
    let text = line(
        &[
            ("CHAT_CALL__RING_TIMEOUT", Some("30s")),
            ("CHAT_CALL__HOLD_HANG_UPS", Some("false")),
            ("CHAT_CALL__RETENTION", Some("30d")),
            ("CHAT_CALL__MAX_DURATION", Some("8h")),
            ("CHAT_LIMITS__CALLS_PER_PAIR", Some("5")),
            ("CHAT_ICE__STUN", Some("stun:one.example.org,stun:two.example.org")),
            ("CHAT_ICE__TURN__URL", Some("turn:one.example.org,turns:two.example.org")),
            ("CHAT_ICE__TURN__SECRET", Some("north")),
            ("CHAT_ICE__TURN__TTL", Some("1h")),
        ],
        1,
    );
    assert!(text.contains("mongodb at 127.0.0.1:1 is not reachable"), "{text}");
}
