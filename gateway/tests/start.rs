//! The process's start: what its configuration must say, and what it must reach. An operator learns of
//! a mistake by one line that names the key.

use std::{
    fs,
    net::TcpListener,
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

/// How long a start may take to fail.
const PATIENCE: Duration = Duration::from_secs(12);

/// The exit code of a configuration that cannot be used.
const CONFIG: i32 = 78;
/// The exit code of everything else.
const FAILURE: i32 = 1;

const SECRET: &str = "0c5b3b0c4f0f4f6f9a2d8a51c6f8e7d1";

const COMPLETE: [(&str, &str); 8] = [
    ("CHAT_LISTEN", "127.0.0.1:0"),
    ("CHAT_TOKEN__SECRET", SECRET),
    // Port 1 is never listened on.
    ("CHAT_NATS__URL", "nats://anna:hidden@127.0.0.1:1"),
    ("CHAT_AUTH__URL", "http://127.0.0.1:1"),
    ("CHAT_USER__URL", "http://127.0.0.1:1"),
    ("CHAT_CONVERSATION__URL", "http://127.0.0.1:1"),
    ("CHAT_MESSAGE__URL", "http://127.0.0.1:1"),
    ("CHAT_CALL__URL", "http://127.0.0.1:1"),
];

/// The process with a complete configuration, changed as given; `None` takes a variable away.
fn started(changes: &[(&str, Option<&str>)]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-gateway"));
    command.env_clear().envs(COMPLETE).stdin(Stdio::null()).stdout(Stdio::null());
    for (variable, value) in changes {
        match value {
            Some(value) => command.env(variable, value),
            None => command.env_remove(variable),
        };
    }
    command.stderr(Stdio::piped()).spawn().expect("the process starts")
}

/// Waits for the process to end by itself.
fn ended(mut process: Child) -> Output {
    let deadline = Instant::now() + PATIENCE;
    while process.try_wait().expect("a status").is_none() {
        if Instant::now() > deadline {
            process.kill().expect("killed");
            let output = process.wait_with_output().expect("an output");
            panic!("it runs on: {}", String::from_utf8_lossy(&output.stderr));
        }
        thread::sleep(Duration::from_millis(10));
    }
    process.wait_with_output().expect("an output")
}

/// Starts the process with changes; asserts that it ends with a code and one line; returns the line.
#[track_caller]
fn refusal(changes: &[(&str, Option<&str>)], code: i32) -> String {
    let ended = ended(started(changes));
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{changes:?}: {text}");
    assert!(text.starts_with("chat-gateway: ") && text.ends_with('\n'), "{changes:?}: {text}");
    assert_eq!(text.lines().count(), 1, "{changes:?}: {text}");
    for refused in ["panicked", "hidden", SECRET] {
        assert!(!text.contains(refused), "{changes:?}: {text}");
    }
    text
}

#[test]
fn missing_key_ends_the_start_naming_it() {
    for (variable, key) in [
        ("CHAT_TOKEN__SECRET", "token.secret"),
        ("CHAT_NATS__URL", "nats.url"),
        ("CHAT_AUTH__URL", "auth.url"),
        ("CHAT_USER__URL", "user.url"),
        ("CHAT_CONVERSATION__URL", "conversation.url"),
        ("CHAT_MESSAGE__URL", "message.url"),
        ("CHAT_CALL__URL", "call.url"),
    ] {
        let line = refusal(&[(variable, None)], CONFIG);
        assert!(line.contains(key), "{line}");
    }
}

#[test]
fn missing_secret_says_which_variables_would_set_it() {
    for value in [None, Some("")] {
        let line = refusal(&[("CHAT_TOKEN__SECRET", value)], CONFIG);
        assert!(line.contains("token.secret") && line.contains("set CHAT_TOKEN__SECRET"), "{line}");
    }
}

#[test]
fn weak_secret_is_refused_with_the_way_to_a_better_one() {
    for (secret, complaint) in [
        ("short-and-secret", "16 bytes, at least 32"),
        ("devsecret", "known sample"),
        ("change-me-0123456789abcdef-0123456789abcdef", "known sample"),
        ("your-super-secret-jwt-key-0123456789abcdef", "known sample"),
    ] {
        let line = refusal(&[("CHAT_TOKEN__SECRET", Some(secret))], CONFIG);
        for part in ["token.secret", complaint, "openssl rand -hex 32"] {
            assert!(line.contains(part), "{line}");
        }
        assert!(!line.contains(secret), "{line}");
    }
    let previous = format!("{SECRET}2,short");
    let line = refusal(&[("CHAT_TOKEN__PREVIOUS", Some(&previous))], CONFIG);
    assert!(line.contains("token.previous") && line.contains("at least 32"), "{line}");
}

#[test]
fn secret_comes_from_its_key_or_its_file_and_not_from_both() {
    let both = [("CHAT_TOKEN__SECRET_FILE", Some("/nowhere"))];
    let line = refusal(&both, CONFIG);
    assert!(line.contains("token.secret and token.secret_file are both set: remove one"), "{line}");

    for unreadable in ["/nowhere/token-secret", env!("CARGO_TARGET_TMPDIR")] {
        let changes = [("CHAT_TOKEN__SECRET", None), ("CHAT_TOKEN__SECRET_FILE", Some(unreadable))];
        let line = refusal(&changes, CONFIG);
        assert!(line.contains("token.secret_file") && line.contains(unreadable), "{line}");
    }

    let file = format!("{}/token-secret-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let from_file = [("CHAT_TOKEN__SECRET", None), ("CHAT_TOKEN__SECRET_FILE", Some(&*file))];
    for (text, key) in [("", "token.secret is empty"), ("short\n", "token.secret has 5 bytes")] {
        fs::write(&file, text).expect("written");
        let line = refusal(&from_file, CONFIG);
        assert!(line.contains(key), "{line}");
    }
    // A good one gets as far as NATS.
    fs::write(&file, format!("{SECRET}\n")).expect("written");
    let line = refusal(&from_file, FAILURE);
    assert!(line.contains("nats.url"), "{line}");
    fs::remove_file(file).expect("removed");
}

#[test]
fn unknown_key_ends_the_start_naming_it_and_what_there_is() {
    for (variable, key, known) in [
        ("CHAT_NOSUCH", "nosuch", "`listen`"),
        ("CHAT_HTTP__NOSUCH", "nosuch", "`origins`"),
        ("CHAT_TOKEN__SECRETS", "secrets", "`secret_file`"),
        ("CHAT_USER__HOST", "host", "`url`"),
        // Kubernetes sets such variables where service links are enabled.
        ("CHAT_USER_PORT", "user_port", "`user`"),
    ] {
        let line = refusal(&[(variable, Some("1"))], CONFIG);
        assert!(line.contains(&format!("`{key}`")) && line.contains(known), "{line}");
    }
}

#[test]
fn value_of_a_wrong_type_ends_the_start_naming_its_key() {
    for (variable, value, key) in [
        ("CHAT_LISTEN", "3000", "listen"),
        ("CHAT_HTTP__TIMEOUT", "soon", "http.timeout"),
        ("CHAT_HTTP__TIMEOUT", "10ms", "http.timeout"),
        ("CHAT_HTTP__BODY_LIMIT", "large", "http.body_limit"),
        ("CHAT_HTTP__ORIGINS", "*", "http.origins"),
        ("CHAT_USER__URL", "", "user.url"),
        ("CHAT_USER__URL", "http://", "user.url"),
        ("CHAT_USER__TIMEOUT", "5", "user.timeout"),
        ("CHAT_STOP__DRAIN", "-1s", "stop.drain"),
        ("CHAT_NATS__REPLICAS", "many", "nats.replicas"),
        ("CHAT_TELEMETRY__FORMAT", "xml", "telemetry.format"),
        ("CHAT_CONFIG", "/nowhere/chat.toml", "/nowhere/chat.toml"),
    ] {
        let line = refusal(&[(variable, Some(value))], CONFIG);
        assert!(line.contains(key), "{variable}: {line}");
    }
}

#[test]
fn taken_address_ends_the_start_naming_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("an address").to_string();
    let line = refusal(&[("CHAT_LISTEN", Some(&address))], FAILURE);
    assert!(line.contains(&format!("cannot listen on {address}")), "{line}");
}

#[test]
fn unreachable_nats_ends_the_start_naming_its_key_and_no_password() {
    // One refuses, one accepts and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = silent.local_addr().expect("an address");
    let silent_url = format!("nats://anna:hidden@{address}");
    for url in ["nats://anna:hidden@127.0.0.1:1", &silent_url] {
        let line = refusal(&[("CHAT_NATS__URL", Some(url))], FAILURE);
        assert!(line.contains("nats.url"), "{line}");
    }
}
