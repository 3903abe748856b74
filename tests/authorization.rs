//! Who may not: every route of the gateway is asked by people whom it is no business of. A route that is
//! not in the table below fails the test.

mod blocked;

use std::time::{SystemTime, UNIX_EPOCH};

use chat_gateway::routes;
use chat_local::testing::{self, TestSuite};
use jsonwebtoken::{EncodingKey, Header, encode};
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::harness::Person;

/// What a stranger must never read.
const SECRET: &str = "the treasure is under the oak";

/// What a route is about.
#[derive(Clone, Copy)]
enum About {
    /// Anybody may ask, also without a token.
    Everybody,
    /// What is the caller's own, or everybody's who is logged in.
    Caller,
    /// An object; the texts are what stands behind the path, and the body. `{conversation}`, `{message}`
    /// and `{user}` stand for the ids of a conversation that the caller has no part in.
    Object(&'static str, &'static str),
    /// The same, of groups alone.
    Group(&'static str, &'static str),
}

use About::{Caller, Everybody, Group, Object};

const USER_OF_GROUP: &str = r#"{"groupId":"{conversation}","userId":"{user}"}"#;

/// Every route.
const ROUTES: &[(&str, &str, About)] = &[
    ("GET", "/", Everybody),
    ("GET", "/health", Everybody),
    ("GET", "/health/db", Everybody),
    ("GET", "/ping", Everybody),
    ("POST", "/api/auth/send-otp", Everybody),
    ("POST", "/api/auth/verify-otp-register", Everybody),
    ("POST", "/api/auth/send-otp-login", Everybody),
    ("POST", "/api/auth/verify-otp-login", Everybody),
    ("POST", "/api/auth/login", Everybody),
    ("POST", "/api/auth/logout", Caller),
    ("GET", "/api/auth/me", Caller),
    ("GET", "/api/conversations", Caller),
    ("POST", "/api/conversations", Caller),
    ("GET", "/conversations", Caller),
    ("GET", "/api/conversations/{conversation}", Object("", "")),
    ("DELETE", "/api/conversations/{conversation}", Object("", "")),
    ("PUT", "/api/conversations/{conversation}/mute", Object("", "")),
    ("DELETE", "/api/conversations/{conversation}/mute", Object("", "")),
    ("PUT", "/api/conversations/{conversation}/pin", Object("", "")),
    ("DELETE", "/api/conversations/{conversation}/pin", Object("", "")),
    ("PUT", "/api/conversations/{conversation}/archive", Object("", "")),
    ("DELETE", "/api/conversations/{conversation}/archive", Object("", "")),
    ("GET", "/api/conversations/{conversation}/messages", Object("?after=0", "")),
    ("POST", "/api/conversations/contacts/sync", Caller),
    ("POST", "/api/conversations/contacts/start-chat", Caller),
    ("GET", "/api/conversations/chat-requests", Caller),
    ("POST", "/api/conversations/chat-requests", Caller),
    ("POST", "/api/conversations/chat-requests/{conversation}/accept", Object("", "")),
    ("POST", "/api/conversations/chat-requests/{conversation}/decline", Object("", "")),
    ("GET", "/api/messages", Object("?conversation={conversation}", "")),
    ("GET", "/messages", Object("?conversation={conversation}", "")),
    ("POST", "/api/messages", Object("", r#"{"conversationId":"{conversation}","content":"hi"}"#)),
    ("GET", "/api/messages/conversation/{conversation}", Object("", "")),
    ("GET", "/api/messages/search", Caller),
    ("PATCH", "/api/messages/{message}", Object("", r#"{"text":"mine"}"#)),
    ("DELETE", "/api/messages/{message}", Object("", "")),
    ("PATCH", "/api/messages/{message}/read", Object("", "")),
    ("PUT", "/api/messages/{message}/reactions/{reaction}", Object("", "")),
    ("DELETE", "/api/messages/{message}/reactions/{reaction}", Object("", "")),
    ("GET", "/api/users", Caller),
    ("GET", "/users", Caller),
    ("GET", "/api/users/search", Caller),
    ("GET", "/users/search", Caller),
    ("GET", "/api/users/by-ids", Caller),
    ("GET", "/users/by-ids", Caller),
    ("GET", "/api/users/presence", Caller),
    ("GET", "/presence", Caller),
    ("GET", "/api/users/profile", Caller),
    ("GET", "/api/users/profile/{user}", Caller),
    ("PATCH", "/api/users/me", Caller),
    ("PUT", "/api/users/me", Caller),
    ("GET", "/api/users/online/count", Caller),
    ("GET", "/api/users/blocked", Caller),
    ("PUT", "/api/users/{user}/block", Caller),
    ("DELETE", "/api/users/{user}/block", Caller),
    ("GET", "/api/groups", Caller),
    ("POST", "/api/groups", Caller),
    ("POST", "/api/groups/create", Caller),
    ("GET", "/api/groups/search", Caller),
    ("GET", "/api/groups/public", Caller),
    ("POST", "/api/groups/join", Caller),
    ("POST", "/api/groups/add-participant", Group("", USER_OF_GROUP)),
    ("POST", "/api/groups/remove-participant", Group("", USER_OF_GROUP)),
    ("POST", "/api/groups/promote-admin", Group("", USER_OF_GROUP)),
    ("POST", "/api/groups/demote-admin", Group("", USER_OF_GROUP)),
    ("GET", "/api/groups/{conversation}", Group("", "")),
    ("PUT", "/api/groups/{conversation}", Group("", r#"{"name":"Mine"}"#)),
    ("PATCH", "/api/groups/{conversation}", Group("", r#"{"name":"Mine"}"#)),
    ("POST", "/api/groups/{conversation}/members", Group("", r#"{"userId":"{user}"}"#)),
    ("DELETE", "/api/groups/{conversation}/members/{user}", Group("", "")),
    ("DELETE", "/api/groups/{conversation}/leave", Group("", "")),
    ("GET", "/api/groups/{conversation}/invite-link", Group("", "")),
    ("POST", "/api/groups/{conversation}/invite-link", Group("", "")),
    ("DELETE", "/api/groups/{conversation}/invite-link", Group("", "")),
    ("POST", "/api/groups/{conversation}/join", Group("", "")),
    ("GET", "/api/calls", Caller),
    ("GET", "/api/calls/ice-servers", Caller),
];

/// A conversation, and somebody who has no part in it.
struct Scene {
    who: &'static str,
    asking: Person,
    is_group: bool,
    conversation: String,
    message: String,
    user: String,
}

impl Scene {
    fn fill(&self, text: &str) -> String {
        text.replace("{conversation}", &self.conversation)
            .replace("{message}", &self.message)
            .replace("{user}", &self.user)
            .replace("{reaction}", "ok")
    }

    /// Asks, and expects a refusal that tells nothing.
    async fn is_refused(&self, method: &Method, path: &str, (query, body): (&str, &str)) {
        let path = self.fill(&format!("{path}{query}"));
        let body = self.fill(body);
        let body = serde_json::from_str(&body).unwrap_or_else(|_| json!({}));
        let (status, answer) = self.asking.request(method.clone(), &path, body).await;
        let what = format!("{} asks {method} {path}: {status} {answer}", self.who);
        assert!(matches!(status, StatusCode::FORBIDDEN | StatusCode::NOT_FOUND), "{what}");
        assert_eq!(answer["success"], false, "{what}");
        assert!(!answer.to_string().contains(SECRET), "{what}");
    }
}

/// Returns the row of a route. The old paths have the rows of the common ones, whose names their
/// parameters have.
fn about(method: &Method, path: &str) -> (String, About) {
    let is_of_conversations =
        ["/contacts/", "/chat-requests"].iter().any(|old| path.starts_with(old));
    let common =
        if is_of_conversations { format!("/api/conversations{path}") } else { path.to_owned() };
    let find = |wanted: &str| {
        let rows = ROUTES.iter().filter(|(verb, ..)| *verb == method.as_str());
        rows.into_iter().find(|(_, path, _)| shape(path) == shape(wanted))
    };
    let row = find(&common).or_else(|| find(&format!("/api{common}")));
    let Some((_, known, about)) = row else {
        panic!("{method} {path} is not in the table: say who may not use it");
    };
    // The row's parameters, on the path that is asked for.
    let names = known.split('/').filter(|part| part.starts_with('{'));
    let mut names = names.collect::<Vec<_>>().into_iter();
    let filled = path.split('/').map(|part| {
        if part.starts_with('{') { names.next().expect("as many parameters") } else { part }
    });
    (filled.collect::<Vec<_>>().join("/"), *about)
}

/// Returns the parts of a path, whatever its parameters are called.
fn shape(path: &str) -> Vec<String> {
    let parts = path.split('/');
    parts.map(|part| if part.starts_with('{') { "{}" } else { part }.to_owned()).collect()
}

/// Makes a conversation with a message that is nobody else's business.
async fn scenes(suite: &TestSuite) -> Vec<Scene> {
    let [one, two] = [suite.gateways[0], suite.gateways[1]];
    let (ada, grace) = (Person::new(one).await, Person::new(two).await);
    let (stranger, removed) = (Person::new(two).await, Person::new(two).await);
    let blocked = Person::new(two).await;
    ada.ok(Method::PUT, &format!("/api/users/{}/block", blocked.id), json!({})).await;
    let direct = ada.open(&grace).await;
    let body = json!({ "name": SECRET, "participants": [grace.id, removed.id] });
    let made = ada.ok(Method::POST, "/api/groups/create", body).await;
    let group = made["group"]["_id"].as_str().expect("an id").to_owned();
    let mut scenes = Vec::new();
    for (conversation, is_group) in [(&direct, false), (&group, true)] {
        let sent = ada.send(conversation, SECRET).await;
        let scene = |who, asking: &Person| Scene {
            who,
            asking: asking.clone(),
            is_group,
            conversation: conversation.clone(),
            message: sent["_id"].as_str().expect("an id").to_owned(),
            user: grace.id.clone(),
        };
        scenes.push(scene("a stranger", &stranger));
        scenes.push(scene("one whom a member has blocked", &blocked));
        if is_group {
            scenes.push(scene("a removed member", &removed));
        }
    }
    let body = json!({ "groupId": group, "userId": removed.id });
    ada.ok(Method::POST, "/api/groups/remove-participant", body).await;
    scenes
}

/// Returns somebody with a token whose time is over.
fn expired(suite: &TestSuite, person: &Person) -> Person {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = json!({ "uid": person.id, "exp": now - 60 });
    let key = EncodingKey::from_secret(suite.token_secret.as_bytes());
    let mut expired = person.clone();
    expired.token = encode(&Header::default(), &claims, &key).expect("a token");
    expired
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_whom_it_is_no_business_of() {
    let suite = testing::suite(|_| {}).await;
    let scenes = scenes(&suite).await;
    let member = Person::new(suite.gateways[0]).await;
    let expired = expired(&suite, &member);
    let mut nobody = member.clone();
    nobody.token = String::new();
    let table = routes::all();
    for (method, path) in table.table() {
        let (path, about) = about(method, path);
        if matches!(about, Everybody) {
            continue;
        }
        let some = scenes[0].fill(&path);
        for (who, reason) in [(&nobody, "unauthorized"), (&expired, "invalid_token")] {
            let (status, answer) = who.request(method.clone(), &some, json!({})).await;
            let found = (status, answer["error"].as_str());
            assert_eq!(found, (StatusCode::UNAUTHORIZED, Some(reason)), "{method} {path}");
        }
        for scene in &scenes {
            match about {
                Object(query, body) => scene.is_refused(method, &path, (query, body)).await,
                Group(query, body) if scene.is_group => {
                    scene.is_refused(method, &path, (query, body)).await;
                }
                Group(..) | Caller | Everybody => {}
            }
        }
    }
    let gone: Vec<_> = ROUTES
        .iter()
        .filter(|(verb, path, _)| {
            let mut known = table.table().iter();
            !known.any(|(method, own)| method.as_str() == *verb && about(method, own).0 == *path)
        })
        .collect();
    assert!(gone.is_empty(), "rows of routes that are not there: {}", gone.len());
}
