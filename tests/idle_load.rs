//! What idle mobile clients ask all the time is never refused, however many share an address.

use std::time::Duration;

use chat_gateway::config::Limits;
use chat_local::testing;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;

use crate::harness::Person;

const CLIENTS: usize = 10;
/// Half an hour of cycles of half a minute.
const CYCLES: usize = 60;
/// How long a cycle takes here: a sixtieth of what it takes clients.
const CYCLE: Duration = Duration::from_millis(500);

/// What one client asks in half a minute, while one of its conversations has no preview and one is fresh.
async fn cycle(person: &Person, conversation: &str, partner: &str) {
    let list = format!("/api/conversations?me={}&status=active", person.id);
    let presence = format!("/api/users/presence?ids={partner}");
    let recent = format!("/api/messages?conversation={conversation}&limit=20");
    let preview = format!("/messages?conversation={conversation}");
    for path in [&list, &list, &list, &recent, "/api/auth/me", &list, &presence, &preview] {
        person.get(path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_an_hour_of_idle_clients_of_one_address_is_never_refused() {
    // With the limits of production.
    let suite = testing::suite(|options| options.limits = Limits::default()).await;
    let mut people = Vec::new();
    for number in 0..CLIENTS {
        people.push(Person::new(suite.gateways[number % suite.gateways.len()]).await);
    }
    let clients = people.iter().enumerate().map(|(number, person)| {
        let partner = &people[(number + 1) % CLIENTS];
        async move {
            let conversation = person.open(partner).await;
            person
                .ok(Method::POST, "/api/conversations/contacts/sync", json!({ "contacts": [] }))
                .await;
            let mut ticks = tokio::time::interval(CYCLE);
            for _ in 0..CYCLES {
                ticks.tick().await;
                cycle(person, &conversation, &partner.id).await;
            }
        }
    });
    join_all(clients).await;
}
