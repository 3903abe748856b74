//! Every route of the gateway, asked in all its forms. A route that is not here fails the stories.

use chat_e2e::harness::{Person, new_phone, text};
use chat_gateway::routes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    groups::groups,
    world::{WORD, World},
};

/// Asks for answers as new clients have them.
pub const NEW: &str = "clientType=unified";

/// A request that succeeds.
pub struct Asked {
    pub who: Person,
    pub method: Method,
    pub path: String,
    pub body: Value,
}

impl Asked {
    /// Makes the request.
    pub async fn make(&self) -> Value {
        self.who.ok(self.method.clone(), &self.path, self.body.clone()).await
    }
}

/// Returns method and path of every route. Second paths of the same handler are left out.
pub fn all() -> Vec<(Method, &'static str)> {
    let routes = routes::all();
    let is_second = |method: &Method, path: &str| {
        routes.seconds().iter().any(|(verb, _, second)| verb == method && *second == path)
    };
    let first = routes.table().iter().filter(|(method, path)| !is_second(method, path));
    first.cloned().collect()
}

/// Returns requests of a route, and makes before what they need. Each time the same number, in the same
/// order.
pub async fn requests(world: &World, method: &Method, path: &str) -> Vec<Asked> {
    let common = path.strip_prefix("/api").unwrap_or(path);
    let route = (method.as_str(), path);
    match common.split('/').nth(1).unwrap_or_default() {
        "" | "health" | "ping" => vec![world.read(path)],
        "auth" => auth(world, route).await,
        "conversations" | "chat-requests" => conversations(world, route).await,
        "messages" => messages(world, route).await,
        "users" | "presence" => users(world, route).await,
        "groups" => groups(world, route).await,
        "calls" => calls(world, route).await,
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}

impl World {
    /// A request of the caller.
    pub fn asks(&self, method: Method, path: &str, body: Value) -> Asked {
        Asked { who: self.caller.clone(), method, path: path.to_owned(), body }
    }

    pub fn read(&self, path: &str) -> Asked {
        self.asks(Method::GET, path, Value::Null)
    }

    pub fn post(&self, path: &str, body: Value) -> Asked {
        self.asks(Method::POST, path, body)
    }

    /// Reads two pages of a list of new clients, which goes on behind the first.
    pub async fn paged(&self, path: &str) -> [Asked; 2] {
        let limit = (self.size.page / 2).max(1);
        let sign = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{sign}{NEW}&limit={limit}");
        let page = self.caller.get(&first).await;
        let cursor = page["nextCursor"].as_str();
        let cursor = cursor.unwrap_or_else(|| panic!("{first} has one page alone: {page}"));
        let next = reqwest::Url::parse_with_params("http://x", [("cursor", cursor)]);
        let next = next.expect("a URL").query().unwrap_or_default().to_owned();
        [self.read(&first), self.read(&format!("{first}&{next}"))]
    }
}

async fn auth(world: &World, route: (&str, &str)) -> Vec<Asked> {
    let anyone = world.stranger();
    let code = async |path: &str, phone: &str| {
        let sent = anyone.ok(Method::POST, path, json!({ "phone": phone })).await;
        json!({ "otp": sent["otp"], "sessionId": sent["sessionId"], "phone": phone })
    };
    let (phone, name) = (new_phone(), format!("Ada {}", new_phone()));
    let registration = async || {
        let mut body = code("/api/auth/send-otp", &phone).await;
        (body["name"], body["password"]) = (json!(name), json!("correct horse"));
        body
    };
    match route {
        ("POST", path @ ("/api/auth/send-otp" | "/api/auth/send-otp-login")) => {
            vec![world.post(path, json!({ "phone": phone }))]
        }
        ("POST", path @ "/api/auth/verify-otp-register") => {
            vec![world.post(path, registration().await)]
        }
        ("POST", path @ "/api/auth/verify-otp-login") => {
            vec![world.post(path, code("/api/auth/send-otp-login", &phone).await)]
        }
        ("POST", path @ "/api/auth/login") => {
            let body = registration().await;
            anyone.ok(Method::POST, "/api/auth/verify-otp-register", body).await;
            let given = |who: &str| json!({ "name": who, "password": "correct horse" });
            vec![world.post(path, given(&phone)), world.post(path, given(&name))]
        }
        ("POST", path @ "/api/auth/logout") => {
            let login = code("/api/auth/send-otp-login", &phone).await;
            let login = anyone.ok(Method::POST, "/api/auth/verify-otp-login", login).await;
            let mut asked = world.post(path, json!({}));
            text(&login["token"]).clone_into(&mut asked.who.token);
            vec![asked]
        }
        ("GET", path @ "/api/auth/me") => vec![world.read(path)],
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}

async fn conversations(world: &World, route: (&str, &str)) -> Vec<Asked> {
    let (group, direct, page) = (&world.group, &world.direct, world.size.page);
    let stranger = world.stranger();
    let me = &world.caller.id;
    let asking = json!({ "from": me, "toPhone": stranger.phone });
    match route {
        ("GET", path @ "/api/conversations") => {
            for (conversation, mark) in [(group, "pin"), (direct, "archive")] {
                let path = format!("{path}/{conversation}/{mark}");
                world.asks(Method::PUT, &path, json!({})).make().await;
            }
            let mut all = vec![
                world.read(&format!("{path}?limit={page}&archived=false&pinned=false")),
                world.read(&format!("{path}?limit={page}&archived=true")),
                world.read(&format!("{path}?limit={page}&pinned=true")),
                world.read(&format!("{path}?me={}", world.caller.id)),
                world.read(path),
                world.read(&format!("{path}?limit={page}")),
                world.read(&format!("{path}?status=pending")),
            ];
            all.extend(world.paged(path).await);
            all
        }
        ("GET", path @ ("/conversations" | "/chat-requests")) => vec![world.read(path)],
        ("POST", path @ "/api/conversations") => {
            let mut members = world.crowd();
            members.push(&stranger.id);
            vec![
                world.post(path, json!({ "otherUserId": stranger.id })),
                world.post(path, json!({ "otherUserId": world.peer.id })),
                world.post(path, json!({ "type": "group", "participants": members })),
            ]
        }
        ("GET", "/api/conversations/{id}") => vec![
            world.read(&format!("/api/conversations/{group}")),
            world.read(&format!("/api/conversations/{direct}")),
            world.read(&format!("/api/conversations/{group}?{NEW}")),
        ],
        ("DELETE", "/api/conversations/{id}") => {
            let made = world.new_group().await;
            world.peer.send(&made, WORD).await;
            vec![world.asks(Method::DELETE, &format!("/api/conversations/{made}"), json!({}))]
        }
        ("POST", path @ "/api/conversations/contacts/sync") => {
            vec![world.post(path, json!({ "contacts": world.phones() }))]
        }
        ("POST", path @ "/api/conversations/contacts/start-chat") => {
            let other = world.stranger();
            let ask = json!({ "from": other.id, "toPhone": world.caller.phone });
            other.ok(Method::POST, "/api/conversations/chat-requests", ask).await;
            let by_address = format!("{}@example.org", world.stranger().id);
            vec![
                world.post(path, asking),
                world.post(path, json!({ "from": me, "toPhone": other.phone })),
                world.post(path, json!({ "from": me, "toContact": by_address })),
            ]
        }
        ("POST", path @ "/api/conversations/chat-requests") => vec![world.post(path, asking)],
        ("GET", path @ "/api/conversations/chat-requests") => {
            let mut all = vec![
                world.read(&format!("{path}?limit={page}")),
                world.read(&format!("{path}?me={}", world.caller.id)),
            ];
            all.extend(world.paged(path).await);
            all
        }
        ("POST", "/api/conversations/chat-requests/{id}/accept") => {
            let path =
                format!("/api/conversations/chat-requests/{}/accept", world.is_asked().await);
            vec![world.post(&path, json!({}))]
        }
        ("POST", "/api/conversations/chat-requests/{id}/decline") => {
            let path =
                format!("/api/conversations/chat-requests/{}/decline", world.is_asked().await);
            vec![world.post(&path, json!({}))]
        }
        ("GET", "/api/conversations/{id}/messages") => {
            let path = format!("/api/conversations/{group}/messages");
            vec![
                world.read(&format!("{path}?limit=1&after=0")),
                world.read(&format!("{path}?limit={page}&after=1")),
                world.read(&format!("{path}?limit={page}&after=1&since=2020-01-01T00:00:00Z")),
            ]
        }
        (verb @ ("PUT" | "DELETE"), path) => {
            let path = path.replace("{id}", group);
            let asks = |method| world.asks(method, &path, json!({}));
            if verb == "PUT" {
                return vec![asks(Method::PUT), asks(Method::DELETE)];
            }
            asks(Method::PUT).make().await;
            vec![asks(Method::DELETE)]
        }
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}

async fn calls(world: &World, route: (&str, &str)) -> Vec<Asked> {
    match route {
        ("GET", path @ "/api/calls") => {
            let mut all = vec![world.read(path)];
            all.extend(world.paged(path).await);
            all
        }
        ("GET", path @ "/api/calls/ice-servers") => vec![world.read(path)],
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}

async fn messages(world: &World, route: (&str, &str)) -> Vec<Asked> {
    let (group, direct, page) = (&world.group, &world.direct, world.size.page);
    let (caller, peer) = (&world.caller, &world.peer);
    match route {
        ("GET", path @ "/api/messages") => vec![
            world.read(&format!("{path}?conversation={group}")),
            world.read(&format!("{path}?conversationId={group}&limit={page}")),
            world.read(&format!("{path}?conversationId={direct}&limit=1&page=2")),
            world.read(&format!("{path}?userA={}&userB={}", caller.id, peer.id)),
            world.read(&format!("{path}?conversation={group}&before=2999-01-01T00:00:00Z")),
            world.read(&format!("{path}?conversationId={group}&{NEW}&limit={page}&after=0")),
        ],
        ("GET", path @ "/messages") => vec![world.read(&format!("{path}?conversation={direct}"))],
        ("POST", path @ "/api/messages") => {
            let answered = world.sent_by(peer).await;
            let said = |target: &str, value: &str| json!({ "from": caller.id, target: value, "content": WORD });
            let mut answer = said("conversationId", group);
            answer["replyTo"] = json!(answered);
            let mut named = said("conversationId", direct);
            named["clientId"] = json!(answered);
            vec![
                world.post(path, said("conversationId", group)),
                world.post(path, answer),
                world.post(path, named.clone()),
                world.post(path, named),
                world.post(path, said("toPhone", &peer.phone)),
                world.post(path, said("toId", &peer.id)),
            ]
        }
        ("GET", "/api/messages/conversation/{id}") => {
            vec![world.read(&format!("/api/messages/conversation/{group}?limit={page}"))]
        }
        ("GET", path @ "/api/messages/search") => {
            let mut all = vec![world.read(&format!("{path}?query={WORD}"))];
            all.extend(world.paged(&format!("{path}?query={WORD}")).await);
            all
        }
        ("PATCH", "/api/messages/{id}") => {
            let path = format!("/api/messages/{}", world.sent_by(caller).await);
            vec![world.asks(Method::PATCH, &path, json!({ "text": "other words" }))]
        }
        ("DELETE", "/api/messages/{id}") => {
            let mut all = Vec::new();
            for is_for_both in [true, false] {
                let path = format!("/api/messages/{}", world.sent_by(caller).await);
                let body = json!({ "deleteForBoth": is_for_both });
                all.push(world.asks(Method::DELETE, &path, body));
            }
            all.push(world.read(&format!("/api/messages?conversation={group}")));
            all.push(world.read("/api/conversations"));
            all
        }
        ("PATCH", "/api/messages/{id}/read") => {
            let path = format!("/api/messages/{}/read", world.sent_by(peer).await);
            vec![world.asks(Method::PATCH, &path, json!({}))]
        }
        (verb, "/api/messages/{id}/reactions/{reaction}") => {
            let path = format!("/api/messages/{}/reactions/ok", world.sent_by(peer).await);
            let method = verb.parse().expect("a method");
            if method == Method::DELETE {
                caller.ok(Method::PUT, &path, json!({})).await;
            }
            vec![world.asks(method, &path, json!({}))]
        }
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}

async fn users(world: &World, route: (&str, &str)) -> Vec<Asked> {
    let (page, ids) = (world.size.page, world.page_of_ids());
    match route {
        ("GET", path @ "/api/users") => {
            let mut all = vec![
                world.read(&format!("{path}?limit={page}&page=2")),
                world.read(&format!("{path}?search=member&limit={page}")),
                world.read(&format!("{path}?search={}", world.peer.phone.replace('+', "%2B"))),
            ];
            all.extend(world.paged(path).await);
            all
        }
        ("GET", path @ "/users") => vec![world.read(path)],
        ("GET", path @ ("/api/users/search" | "/users/search")) => {
            vec![world.read(&format!("{path}?q=member"))]
        }
        ("GET", path @ ("/api/users/by-ids" | "/users/by-ids")) => {
            vec![world.read(&format!("{path}?ids={ids}"))]
        }
        ("GET", path @ ("/api/users/presence" | "/presence")) => {
            vec![world.read(&format!("{path}?ids={ids}")), world.read(path)]
        }
        ("GET", path @ ("/api/users/profile" | "/api/users/online/count")) => {
            vec![world.read(path)]
        }
        ("GET", "/api/users/profile/{id}") => {
            vec![world.read(&format!("/api/users/profile/{}", world.peer.id))]
        }
        (verb @ ("PATCH" | "PUT"), path @ "/api/users/me") => {
            let body = json!({ "name": "Ada", "bio": new_phone() });
            vec![world.asks(verb.parse().expect("a method"), path, body)]
        }
        ("GET", path @ "/api/users/blocked") => {
            let mut all = vec![world.read(&format!("{path}?limit={page}"))];
            all.extend(world.paged(path).await);
            all
        }
        (verb, "/api/users/{id}/block") => {
            let path = format!("/api/users/{}/block", world.stranger().id);
            let method = verb.parse().expect("a method");
            if method == Method::DELETE {
                world.caller.ok(Method::PUT, &path, json!({})).await;
            }
            vec![world.asks(method, &path, json!({}))]
        }
        _ => panic!("{route:?} is not on the tour: say how it is asked"),
    }
}
