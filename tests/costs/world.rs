//! Somebody who has few conversations, or many with many members. What there is a lot of is copied inside
//! the databases from one that was made in the usual way.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use chat_e2e::harness::{Person, eventually, new_phone, text};
use chat_kit::{
    config::{Mongo, Secret},
    mongo,
};
use chat_local::testing::{self, TestSuite};
use jsonwebtoken::{EncodingKey, Header, encode};
use mongodb::{
    Client, Collection,
    bson::{DateTime, Document, doc, oid::ObjectId},
};
use reqwest::Method;
use serde_json::{Value, json};

use crate::sockets::{self, Lines};

/// A word in every message.
pub const WORD: &str = "treasure";
/// Users of each world whom nothing connects with its caller at first.
const STRANGERS: usize = 1200;
/// The services whose documents have an outbox, and the collections.
const OUTBOXES: [(&str, &str); 7] = [
    ("user", "users"),
    ("user", "presences"),
    ("conversation", "conversations"),
    ("conversation", "blocks"),
    ("message", "messages"),
    ("message", "receipts"),
    ("call", "calls"),
];

/// How much there is.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Members of a group.
    pub members: usize,
    /// The caller's conversations.
    pub conversations: usize,
    /// Messages of the longest ones.
    pub messages: usize,
    /// Length of a page.
    pub page: usize,
    /// Users who are in groups.
    pub crowd: usize,
}

/// Two of everything, and in the group one more, with whom the caller has no conversation of their own: of
/// such members it is asked, with one call, whether they are blocked. Conversations are three times as many, so
/// that some of each kind are neither pinned nor put away.
pub const SMALL: Size = Size { members: 3, conversations: 6, messages: 2, page: 2, crowd: 2 };

/// More than any list shows, than MongoDB answers at once where it is not told otherwise, and than one
/// call or command of the suite holds.
pub const LARGE: Size =
    Size { members: 60, conversations: 520, messages: 300, page: 100, crowd: 4000 };

/// The databases of a suite, beside its services.
pub struct Databases {
    client: Client,
    names: Vec<(&'static str, String)>,
}

impl Databases {
    pub async fn of(suite: &TestSuite) -> Self {
        let uri = Secret::new(&testing::servers().await.mongodb_uri);
        let config = Mongo { uri, database: None };
        let database = mongo::connect(&config, "costs", None).await.expect("mongodb answers");
        let client = database.client().clone();
        let mut services: Vec<&'static str> =
            suite.services.iter().map(|(service, _)| *service).collect();
        services.dedup();
        let names = services.into_iter().map(|service| (service, suite.database(service)));
        Self { client, names: names.collect() }
    }

    /// Returns service and database of each.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, mongodb::Database)> {
        self.names.iter().map(|(service, name)| (*service, self.client.database(name)))
    }

    pub fn collection(&self, service: &str, name: &str) -> Collection<Document> {
        let (_, database) = self.all().find(|(known, _)| *known == service).expect("a service");
        database.collection(name)
    }

    /// Says whether every change is announced.
    pub async fn are_settled(&self) -> bool {
        for (service, name) in OUTBOXES {
            let waiting = doc! { "outbox.at": { "$exists": true } };
            let found = self.collection(service, name).find_one(waiting).await.expect("an answer");
            if found.is_some() {
                return false;
            }
        }
        true
    }

    async fn settle(&self) {
        eventually("every change is announced", async || self.are_settled().await).await;
    }

    async fn find(&self, service: &str, name: &str, filter: Document) -> Document {
        let found = self.collection(service, name).find_one(filter).sort(doc! { "seq": -1 }).await;
        found.expect("an answer").expect("a document")
    }

    /// Makes users like one of them; returns id and phone of each.
    async fn make_users(&self, model: &Person, count: usize) -> Vec<(String, String)> {
        let id: ObjectId = model.id.parse().expect("an id");
        let profile = self.find("user", "users", doc! { "_id": id }).await;
        let account = self.find("auth", "credentials", doc! { "_id": id }).await;
        let (mut made, mut profiles, mut accounts) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..count {
            let (id, phone) = (ObjectId::new(), new_phone());
            let email = format!("{id}@example.org");
            let (name, name_key) = (format!("Member {number}"), format!("member {number}"));
            let own = doc! { "_id": id, "phone": &phone };
            let named = doc! { "name": name, "name_key": name_key, "email": email };
            profiles.push(changed(&changed(&profile, own.clone()), named));
            accounts.push(changed(&account, own));
            made.push((id.to_hex(), phone));
        }
        self.collection("user", "users").insert_many(profiles).await.expect("inserted");
        self.collection("auth", "credentials").insert_many(accounts).await.expect("inserted");
        made
    }

    /// Puts copies of the newest message of a conversation behind it, up to a number.
    async fn lengthen(&self, conversation: &str, last: usize) {
        let conversation: ObjectId = conversation.parse().expect("an id");
        let filter = doc! { "conversation_id": conversation };
        let model = self.find("message", "messages", filter).await;
        let from = model.get_i64("seq").expect("a number") + 1;
        let copies: Vec<Document> = (from..=i64::try_from(last).expect("few"))
            .map(|seq| numbered(&model, conversation, seq))
            .collect();
        if !copies.is_empty() {
            self.collection("message", "messages").insert_many(copies).await.expect("inserted");
        }
    }

    /// Makes copies of a conversation, with two messages each and these members, who have read one. Somebody
    /// has pinned some of the groups and put some of the others away.
    async fn copy(&self, conversation: &str, caller: &str, member_ids: Vec<Vec<ObjectId>>) {
        let caller: ObjectId = caller.parse().expect("an id");
        let id: ObjectId = conversation.parse().expect("an id");
        let model = self.find("conversation", "conversations", doc! { "_id": id }).await;
        let message = self.find("message", "messages", doc! { "conversation_id": id }).await;
        let receipt = self.find("message", "receipts", doc! { "conversation_id": id }).await;
        let (mut conversations, mut messages) = (Vec::new(), Vec::new());
        let mut receipts = Vec::new();
        for (number, member_ids) in member_ids.into_iter().enumerate() {
            let id = ObjectId::new();
            let of_it = [1, 2].map(|seq| numbered(&message, id, seq));
            let last_id = of_it[1].get_object_id("_id").expect("an id");
            let mut copy = changed(&model, doc! { "_id": id });
            if let Ok(group) = copy.get_document_mut("group") {
                let (name, name_key) = (format!("Chess {number}"), format!("chess {number}"));
                let is_public = number % 3 == 0;
                group.extend(doc! { "name": name, "name_key": name_key, "is_public": is_public });
                if number % 8 == 0 {
                    let slot = i64::try_from(number).expect("few");
                    copy.insert("pinned_by", vec![doc! { "user_id": caller, "slot": slot }]);
                }
            } else {
                copy.insert("participant_key", key(&member_ids));
                if number % 4 == 0 {
                    copy.insert("archived_by", vec![caller]);
                }
            }
            receipts.extend(member_ids.iter().map(|user| {
                let own = doc! { "_id": ObjectId::new(), "conversation_id": id, "user_id": user };
                changed(&changed(&receipt, own), doc! { "read_seq": 1_i64, "delivered_seq": 1_i64 })
            }));
            let last = copy.get_document_mut("last_message").expect("a preview");
            last.extend(doc! { "message_id": last_id, "seq": 2_i64 });
            copy.insert("member_ids", member_ids);
            conversations.push(copy);
            messages.extend(of_it);
        }
        if conversations.is_empty() {
            return;
        }
        let stored = self.collection("conversation", "conversations");
        stored.insert_many(conversations).await.expect("inserted");
        self.collection("message", "messages").insert_many(messages).await.expect("inserted");
        self.collection("message", "receipts").insert_many(receipts).await.expect("inserted");
    }

    /// Makes copies of a user's calls, which have ended, each older than the one before.
    async fn copy_calls(&self, user: &str, count: usize) {
        let user: ObjectId = user.parse().expect("an id");
        let model = self.find("call", "calls", doc! { "parties": user, "is_live": false }).await;
        let placed = model.get_datetime("placed_at").expect("a time").timestamp_millis();
        let copies = (1_i64..).take(count).map(|number| {
            let id = format!("{}{:08x}", ObjectId::new(), number);
            changed(&model, doc! { "_id": id, "placed_at": DateTime::from_millis(placed - number) })
        });
        let copies: Vec<Document> = copies.collect();
        self.collection("call", "calls").insert_many(copies).await.expect("inserted");
    }
}

/// Returns a document with other fields, of which nothing is to be announced.
fn changed(model: &Document, fields: Document) -> Document {
    let mut copy = model.clone();
    copy.remove("outbox");
    copy.remove("outbox_until");
    copy.extend(fields);
    copy
}

fn numbered(model: &Document, conversation: ObjectId, seq: i64) -> Document {
    let begun = model.get_datetime("created_at").expect("a time").timestamp_millis();
    let at = |seq| DateTime::from_millis(begun + seq);
    let mut copy = changed(
        model,
        doc! {
            "_id": ObjectId::new(), "conversation_id": conversation, "seq": seq,
            "created_at": at(seq), "previous_created_at": at(seq - 1),
        },
    );
    copy.remove("client_id");
    copy
}

fn key(member_ids: &[ObjectId]) -> String {
    let mut texts: Vec<String> = member_ids.iter().map(|id| id.to_hex()).collect();
    texts.sort_unstable();
    texts.join(":")
}

/// Somebody, and what he has.
pub struct World {
    /// Who makes the requests.
    pub caller: Person,
    /// A member of his conversations.
    pub peer: Person,
    /// A long conversation of as many members as a group has here. The caller administers it.
    pub group: String,
    /// The long conversation of the two.
    pub direct: String,
    pub size: Size,
    crowd: Vec<String>,
    strangers: Vec<(String, String)>,
    taken: AtomicUsize,
    key: EncodingKey,
}

impl World {
    pub async fn fill(suite: &TestSuite, databases: &Databases, size: Size) -> Self {
        let caller = Person::new(suite.gateways[0]).await;
        let peer = Person::new(suite.gateways[1]).await;
        let mut users = databases.make_users(&peer, size.crowd + STRANGERS).await;
        let strangers = users.split_off(size.crowd);
        let mut world = Self {
            direct: caller.open(&peer).await,
            group: String::new(),
            crowd: users.into_iter().map(|(id, _)| id).collect(),
            caller,
            peer,
            size,
            strangers,
            taken: AtomicUsize::new(0),
            key: EncodingKey::from_secret(suite.token_secret.as_bytes()),
        };
        world.group = world.new_group().await;
        for conversation in [&world.group, &world.direct] {
            let sent = world.peer.send(conversation, WORD).await;
            let read = format!("/api/messages/{}/read", text(&sent["_id"]));
            world.caller.ok(Method::PATCH, &read, json!({})).await;
            databases.settle().await;
            databases.lengthen(conversation, size.messages).await;
            world.caller.send(conversation, WORD).await;
        }
        databases.settle().await;
        world.add_conversations(databases).await;
        for _ in 0..size.page {
            let path = format!("/api/users/{}/block", world.stranger().id);
            world.caller.ok(Method::PUT, &path, json!({})).await;
            world.is_asked().await;
        }
        let mut lines = Lines::open(suite, &world).await;
        lines.make_all(&sockets::rings_and_is_declined(&world)).await;
        databases.settle().await;
        databases.copy_calls(&world.caller.id, size.messages).await;
        world
    }

    async fn add_conversations(&self, databases: &Databases) {
        let id = |text: &String| -> ObjectId { text.parse().expect("an id") };
        let more = self.size.conversations - 2;
        let others = self.size.members - 1;
        let me = &self.caller.id;
        let of_group = |number: usize| -> Vec<ObjectId> {
            let some = self.crowd.iter().cycle().skip(number * others).take(others);
            std::iter::once(&self.caller.id).chain(some).map(id).collect()
        };
        databases.copy(&self.group, me, (0..more / 2).map(of_group).collect()).await;
        let direct = |number: usize| {
            let mut pair = vec![id(&self.caller.id), id(&self.crowd[number])];
            pair.sort_unstable();
            pair
        };
        databases.copy(&self.direct, me, (0..more / 2).map(direct).collect()).await;
    }

    /// Returns ids of users who are in groups, as many as a group has beside two.
    pub fn crowd(&self) -> Vec<&str> {
        self.crowd.iter().take(self.size.members - 2).map(String::as_str).collect()
    }

    /// Returns ids of as many users as a page has, the peer among them.
    pub fn page_of_ids(&self) -> String {
        let crowd = self.crowd.iter().take(self.size.page - 1).map(String::as_str);
        crowd.chain([self.peer.id.as_str()]).collect::<Vec<_>>().join(",")
    }

    /// Returns phones of five times as many users as a page has.
    pub fn phones(&self) -> Vec<&str> {
        let phones = self.strangers.iter().map(|(_, phone)| phone.as_str());
        phones.take(self.size.page * 5).collect()
    }

    /// Returns somebody whom nothing connects with the caller.
    pub fn stranger(&self) -> Person {
        let number = self.taken.fetch_add(1, Ordering::Relaxed);
        let (id, phone) = self.strangers.get(number).expect("enough strangers").clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
        let ends = (now + Duration::from_hours(1)).as_secs();
        let claims = json!({ "uid": id, "exp": ends });
        let token = encode(&Header::default(), &claims, &self.key).expect("a token");
        let mut stranger = self.caller.clone();
        (stranger.id, stranger.phone, stranger.token) = (id, phone, token);
        stranger
    }

    /// Makes a group of the caller's; returns its id.
    pub async fn new_group(&self) -> String {
        let mut others = self.crowd();
        others.push(&self.peer.id);
        let body = json!({ "name": "Chess", "participants": others });
        let made = self.caller.ok(Method::POST, "/api/groups/create", body).await;
        text(&made["group"]["_id"]).to_owned()
    }

    /// Has a stranger ask the caller to chat; returns the conversation.
    pub async fn is_asked(&self) -> String {
        let stranger = self.stranger();
        let body = json!({ "from": stranger.id, "toPhone": self.caller.phone });
        let path = "/api/conversations/chat-requests";
        let asked: Value = stranger.ok(Method::POST, path, body).await;
        text(&asked["conversation"]["_id"]).to_owned()
    }

    /// Has somebody send a message to the group; returns its id.
    pub async fn sent_by(&self, person: &Person) -> String {
        text(&person.send(&self.group, WORD).await["_id"]).to_owned()
    }
}
