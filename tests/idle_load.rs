//! What idle mobile clients ask all the time is never refused, however many share an address.

use std::time::Duration;

use chat_gateway::config::Limits;
use chat_local::testing;
use futures_util::future::{join_all, try_join_all};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::harness::Person;

const CLIENTS: usize = 10;
/// Half an hour of cycles of half a minute.
const CYCLES: usize = 60;
/// How long a cycle takes here, so that half an hour takes a minute: thirty times as often as in the field.
const CYCLE: Duration = Duration::from_secs(1);

/// A client's conversations.
struct Chats {
    partner: String,
    /// One with a message of the last minutes.
    fresh: String,
    /// Those without any, whose preview is looked for again and again.
    empty: Vec<String>,
}

impl Chats {
    async fn new(person: &Person, partner: &Person, others: [&Person; 2]) -> Self {
        let fresh = person.open(partner).await;
        person.send(&fresh, "hi").await;
        let mut empty = Vec::new();
        for other in others {
            empty.push(person.open(other).await);
        }
        Self { partner: partner.id.clone(), fresh, empty }
    }
}

/// What one client asks in half a minute: a sync, then its lists and previews again.
fn cycle(person: &Person, chats: &Chats) -> Vec<String> {
    let list = format!("/api/conversations?me={}&status=active", person.id);
    let requests = format!("/api/conversations/chat-requests?me={}&status=pending", person.id);
    let recent = format!("/api/messages?conversation={}&limit=20", chats.fresh);
    let presence = format!("/api/users/presence?ids={}", chats.partner);
    let sync = [list.clone(), requests.clone(), list.clone(), recent, list.clone()];
    let lists = [list, presence, requests];
    let previews = chats.empty.iter().map(|id| format!("/messages?conversation={id}"));
    sync.into_iter().chain(lists).chain(previews).collect()
}

/// Asks, and tells of any answer but a good one.
async fn ask(person: &Person, path: String) -> Result<(), String> {
    match person.request(Method::GET, &path, Value::Null).await {
        (StatusCode::OK, _) => Ok(()),
        (status, answer) => Err(format!("{path}: {status} {answer}")),
    }
}

/// The flow F16.
#[tokio::test(flavor = "multi_thread")]
async fn half_an_hour_of_idle_clients_of_one_address_is_never_refused() {
    // With the limits of production.
    let suite = testing::suite(|options| options.limits = Limits::default()).await;
    let mut people = Vec::new();
    for number in 0..CLIENTS {
        people.push(Person::new(suite.gateways[number % suite.gateways.len()]).await);
    }
    let clients = people.iter().enumerate().map(|(number, person)| {
        let [partner, one, other] = [1, 3, 5].map(|step| &people[(number + step) % CLIENTS]);
        async move {
            let chats = Chats::new(person, partner, [one, other]).await;
            person.get("/api/auth/me").await;
            person.get(&format!("/api/users/by-ids?ids={}", partner.id)).await;
            let book = json!({ "contacts": [{ "phone": partner.phone, "name": "x" }] });
            person.ok(Method::POST, "/api/conversations/contacts/sync", book).await;
            let mut ticks = tokio::time::interval(CYCLE);
            for _ in 0..CYCLES {
                ticks.tick().await;
                // All at once: the app's services do not wait for each other.
                let asked = cycle(person, &chats).into_iter().map(|path| ask(person, path));
                try_join_all(asked).await.unwrap_or_else(|refused| panic!("{refused}"));
            }
        }
    });
    join_all(clients).await;
}
