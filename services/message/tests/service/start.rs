//! The process's start: what its configuration must say, and what it must reach.

use std::process::{Command, Output};

use chat_local::testing;

const COMPLETE: [(&str, &str); 4] = [
    ("CHAT_GRPC__LISTEN", "127.0.0.1:0"),
    // Port 1 is never listened on.
    ("CHAT_MONGO__URI", "mongodb://anna:hidden@127.0.0.1:1/?directConnection=true"),
    ("CHAT_NATS__URL", "nats://127.0.0.1:1"),
    ("CHAT_CONVERSATION__URL", "http://127.0.0.1:1"),
];

/// The process with a complete configuration.
fn process() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chat-message"));
    command.env_clear().envs(COMPLETE);
    command
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the process ends")
}

/// Asserts that the process ended with a code and one line; returns the line.
fn line(ended: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert_eq!(ended.status.code(), Some(code), "{text}");
    assert!(text.starts_with("chat-message: ") && text.lines().count() == 1, "{text}");
    text
}

#[test]
fn missing_key_ends_the_start_naming_it() {
    for (variable, key) in [
        ("CHAT_MONGO__URI", "mongo.uri"),
        ("CHAT_NATS__URL", "nats.url"),
        ("CHAT_CONVERSATION__URL", "conversation.url"),
    ] {
        let text = line(&run(process().env_remove(variable)), 78);
        assert!(text.contains(key), "{text}");
    }
}

#[test]
fn value_that_cannot_be_used_ends_the_start() {
    for (variable, value, complaint) in [
        ("CHAT_NOSUCH", "1", "nosuch"),
        ("CHAT_MESSAGE__NOSUCH", "1", "nosuch"),
        ("CHAT_MESSAGE__RELAY_AFTER", "soon", "message.relay_after"),
        ("CHAT_MESSAGE__MAX_CONTENT_LENGTH", "long", "message.max_content_length"),
        ("CHAT_MESSAGE__MAX_CONTENT_LENGTH", "0", "message.max_content_length"),
        ("CHAT_MESSAGE__CACHED_CONVERSATIONS", "0", "message.cached_conversations"),
        ("CHAT_GRPC__LISTEN", "here", "grpc.listen"),
        ("CHAT_MONGO__URI_FILE", "/nowhere", "mongo.uri"),
    ] {
        let text = line(&run(process().env(variable, value)), 78);
        assert!(text.contains(complaint), "{variable}: {text}");
    }
}

#[test]
fn unreachable_mongodb_ends_the_start_naming_its_host_and_no_password() {
    let text = line(&run(&mut process()), 1);
    assert!(text.contains("mongodb at 127.0.0.1:1 is not reachable"), "{text}");
    assert!(!text.contains("anna") && !text.contains("hidden"), "{text}");
}

#[tokio::test]
async fn unreachable_nats_ends_the_start_naming_its_key() {
    let uri = &testing::servers().await.mongodb_uri;
    let ended =
        run(process().env("CHAT_MONGO__URI", uri).env("CHAT_MONGO__DATABASE", "message-start"));
    let text = line(&ended, 1);
    assert!(text.contains("nats.url"), "{text}");
}
