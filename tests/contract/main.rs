//! The whole contract of the HTTP surface, asked of two gateways: every endpoint, every answer that it has,
//! the names and types of every field, and what a client declares.

mod accounts;
mod changes;
mod conventions;
mod conversations;
mod declared;
mod groups;
mod history;
mod index;
mod infrastructure;
mod membership;
mod messages;
mod objects;
mod requests;
mod shape;
mod users;
mod walk;

use chat_e2e::harness::Person;
use chat_local::testing::{self, TestSuite};
use reqwest::Method;
use serde_json::{Value, json};

use crate::walk::{Form, Walk};

/// An id that nothing has.
const NOTHING: &str = "65f0c0ffee0123456789abcd";

/// Those who ask. Ada and Grace chat with each other; the stranger does so with nobody.
struct Cast {
    ada: Person,
    grace: Person,
    stranger: Person,
    /// The conversation of Ada and Grace.
    chat: String,
}

impl Cast {
    async fn new(suite: &TestSuite) -> Self {
        let [one, two] = [suite.gateways[0], suite.gateways[1]];
        let (ada, grace) = (Person::new(one).await, Person::new(two).await);
        let stranger = Person::new(two).await;
        let chat = ada.open(&grace).await;
        Self { ada, grace, stranger, chat }
    }
}

/// Blocks somebody.
async fn block(by: &Person, whom: &Person) {
    by.ok(Method::PUT, &format!("/api/users/{}/block", whom.id), Value::Null).await;
}

/// Asks somebody to chat; returns the conversation.
async fn request(by: &Person, whom: &Person) -> String {
    let body = json!({ "from": by.id, "toPhone": whom.phone });
    let asked = by.ok(Method::POST, "/api/conversations/chat-requests", body).await;
    asked["conversation"]["_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_answers_as_the_contract_says() {
    let suite = testing::suite(|_| {}).await;
    let cast = Cast::new(&suite).await;
    let mut walk = Walk::new(&suite.gateways);
    infrastructure::walk(&mut walk, &cast).await;
    for form in [Form::Common, Form::Old] {
        accounts::walk(&mut walk, &suite, form).await;
        messages::walk(&mut walk, &suite, form).await;
        changes::walk(&mut walk, &cast, form).await;
        history::walk(&mut walk, &suite, form).await;
        requests::walk(&mut walk, &suite, form).await;
        conversations::walk(&mut walk, &suite, form).await;
        users::walk(&mut walk, &suite, form).await;
    }
    groups::walk(&mut walk, &suite).await;
    membership::walk(&mut walk, &suite).await;
    walk.end().await;
}
