//! What a block forbids: each act on what belongs to who made the block, asked for by the one whom he has
//! blocked, and by a friend in the same place, whom nothing is refused. A route about an object that is not in
//! the table fails the test.

use chat_local::testing::{self, TestSuite};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{About, ROUTES, SECRET, shape};
use crate::harness::{Person, text};

/// What a block does to an act.
#[derive(Clone, Copy)]
enum Block {
    /// Forbids it.
    Refuses,
    /// Ends what it would answer: 409 in place of 403.
    Ends,
    /// Changes nothing, for this reason.
    Leaves(&'static str),
}

use Block::{Ends, Leaves, Refuses};

const READ_ON: &str = "both read on what was said";
const OWN_LIST: &str = "it changes one's own list alone";
const OWN_WORDS: &str = "who takes back what he said says nothing";
const OWN_CURSOR: &str = "he has read what he may read";

const TO_ID: &str = r#"{"toId":"{owner}","content":"hi"}"#;
const TO_PHONE: &str = r#"{"toPhone":"{phone}","content":"hi"}"#;
const REPLY: &str = r#"{"conversationId":"{conversation}","content":"hi","replyTo":"{theirs}"}"#;
const SEND: &str = r#"{"conversationId":"{conversation}","content":"hi"}"#;
const ASK: &str = r#"{"from":"{me}","toPhone":"{phone}"}"#;
const GROUP: &str = r#"{"type":"group","name":"Go","participants":["{owner}"]}"#;
const ADD: &str = r#"{"groupId":"{group}","userId":"{owner}"}"#;
const MEMBER: &str = r#"{"userId":"{owner}"}"#;

/// The acts, in the order in which they are made. `{theirs}` is a message of who made the block, `{own}` one of
/// the one who asks, `{request}` a request to him, and the groups are his own.
const ACTS: &[(&str, &str, &str, Block)] = &[
    ("POST", "/api/messages", SEND, Refuses),
    ("POST", "/api/messages", TO_ID, Refuses),
    ("POST", "/api/messages", TO_PHONE, Refuses),
    ("POST", "/api/messages", REPLY, Refuses),
    ("PATCH", "/api/messages/{own}", r#"{"text":"mine"}"#, Refuses),
    ("PUT", "/api/messages/{theirs}/reactions/{ok}", "", Refuses),
    ("DELETE", "/api/messages/{theirs}/reactions/{ok}", "", Refuses),
    ("POST", "/api/conversations/contacts/start-chat", ASK, Refuses),
    ("POST", "/api/conversations/chat-requests", ASK, Refuses),
    ("POST", "/api/conversations", GROUP, Refuses),
    ("POST", "/api/groups", GROUP, Refuses),
    ("POST", "/api/groups/create", GROUP, Refuses),
    ("POST", "/api/groups/add-participant", ADD, Refuses),
    ("POST", "/api/groups/{other_group}/members", MEMBER, Refuses),
    ("POST", "/api/conversations/chat-requests/{request}/accept", "", Ends),
    ("POST", "/api/conversations/chat-requests/{other_request}/decline", "", Ends),
    ("GET", "/api/conversations/{conversation}", "", Leaves(READ_ON)),
    ("GET", "/api/messages?conversation={conversation}", "", Leaves(READ_ON)),
    ("GET", "/messages?conversation={conversation}", "", Leaves(READ_ON)),
    ("GET", "/api/messages/conversation/{conversation}", "", Leaves(READ_ON)),
    ("GET", "/api/conversations/{conversation}/messages?after=0", "", Leaves(READ_ON)),
    ("PATCH", "/api/messages/{theirs}/read", "", Leaves(OWN_CURSOR)),
    ("PUT", "/api/conversations/{conversation}/mute", "", Leaves(OWN_LIST)),
    ("DELETE", "/api/conversations/{conversation}/mute", "", Leaves(OWN_LIST)),
    ("PUT", "/api/conversations/{conversation}/pin", "", Leaves(OWN_LIST)),
    ("DELETE", "/api/conversations/{conversation}/pin", "", Leaves(OWN_LIST)),
    ("PUT", "/api/conversations/{conversation}/archive", "", Leaves(OWN_LIST)),
    ("DELETE", "/api/conversations/{conversation}/archive", "", Leaves(OWN_LIST)),
    ("DELETE", "/api/messages/{own}", "", Leaves(OWN_WORDS)),
    ("DELETE", "/api/conversations/{conversation}", "", Leaves(OWN_LIST)),
];

/// Somebody who writes with those who make the blocks.
struct Friend {
    person: Person,
    words: Vec<(&'static str, String)>,
}

impl Friend {
    async fn new(suite: &TestSuite, owner: &Person, [asks, asks_too]: [&Person; 2]) -> Self {
        let person = Person::new(suite.gateways[1]).await;
        let conversation = owner.open(&person).await;
        let theirs = owner.send(&conversation, SECRET).await;
        let own = person.send(&conversation, "hi").await;
        let mut requests = Vec::new();
        for requester in [asks, asks_too] {
            let body = json!({ "from": requester.id, "toPhone": person.phone });
            let path = "/api/conversations/chat-requests";
            let asked = requester.ok(Method::POST, path, body).await;
            requests.push(text(&asked["conversation"]["_id"]).to_owned());
        }
        let other_request = requests.pop().expect("two requests");
        let stranger = Person::new(suite.gateways[0]).await;
        let words = vec![
            ("{ok}", "ok".to_owned()),
            ("{owner}", owner.id.clone()),
            ("{phone}", owner.phone.clone()),
            ("{me}", person.id.clone()),
            ("{conversation}", conversation),
            ("{theirs}", text(&theirs["_id"]).to_owned()),
            ("{own}", text(&own["_id"]).to_owned()),
            ("{request}", requests.pop().expect("a request")),
            ("{other_request}", other_request),
            ("{group}", person.group(&[&stranger]).await),
            ("{other_group}", person.group(&[&stranger]).await),
        ];
        Self { person, words }
    }

    async fn acts(&self, method: &str, path: &str, body: &str) -> (StatusCode, Value) {
        let fill = |text: &str| {
            let words = self.words.iter();
            words.fold(text.to_owned(), |text, (word, value)| text.replace(word, value))
        };
        let body = if body.is_empty() { "{}".to_owned() } else { fill(body) };
        let body = serde_json::from_str(&body).expect("JSON");
        let method = method.parse().expect("a method");
        self.person.request(method, &fill(path), body).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn blocked_user_does_nothing_that_reaches_who_blocked_him() {
    let suite = testing::suite(|_| {}).await;
    let owner = Person::new(suite.gateways[0]).await;
    let (asks, asks_too) =
        (Person::new(suite.gateways[0]).await, Person::new(suite.gateways[0]).await);
    let friend = Friend::new(&suite, &owner, [&asks, &asks_too]).await;
    let blocked = Friend::new(&suite, &owner, [&asks, &asks_too]).await;
    for by in [&owner, &asks, &asks_too] {
        let path = format!("/api/users/{}/block", blocked.person.id);
        by.ok(Method::PUT, &path, json!({})).await;
    }
    for (method, path, body, block) in ACTS {
        let (status, answer) = friend.acts(method, path, body).await;
        assert!(status.is_success(), "a friend asks {method} {path} {body}: {status} {answer}");
        let (status, answer) = blocked.acts(method, path, body).await;
        let what = format!("one who is blocked asks {method} {path} {body}: {status} {answer}");
        match block {
            Refuses => {
                let refusals = [StatusCode::FORBIDDEN, StatusCode::NOT_FOUND];
                assert!(refusals.contains(&status), "{what}");
            }
            Ends => assert_eq!(
                (status, &answer["error"]),
                (StatusCode::CONFLICT, &json!("not_pending"))
            ),
            Leaves(reason) => assert!(status.is_success(), "{what}, although {reason}"),
        }
        if !matches!(block, Leaves(_)) {
            assert_eq!(answer["success"], false, "{what}");
            assert!(!answer.to_string().contains(SECRET), "{what}");
        }
    }
}

#[test]
fn every_route_about_an_object_says_what_a_block_does_to_it() {
    let is_known = |verb: &str, path: &str| {
        ACTS.iter().any(|(known, at, ..)| {
            let at = at.split('?').next().unwrap_or_default();
            *known == verb && shape(at) == shape(path)
        })
    };
    for (verb, path, about) in ROUTES {
        if matches!(about, About::Object(..)) {
            assert!(is_known(verb, path), "{verb} {path} is not in the table of acts");
        }
    }
}
