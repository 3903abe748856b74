//! Numbers are dense and in the order of storing, whoever sends at the same time.

use chat_local::testing;
use futures_util::future::join_all;

use crate::harness::{Person, text};

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_senders_over_two_replicas_get_dense_numbers() {
    const SENDERS: usize = 50;
    const EACH: usize = 4;
    let suite = testing::suite(|options| options.replicas = 2).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;

    let senders = (0..SENDERS).map(|sender| {
        let person = if sender % 2 == 0 { &one } else { &other };
        // Each gateway calls both replicas.
        let person = person.at(suite.gateways[sender / 2 % 2]);
        let conversation = &conversation;
        async move {
            for round in 0..EACH {
                person.send(conversation, &format!("{sender}:{round}")).await;
            }
        }
    });
    join_all(senders).await;

    let history = one.get(&format!("/api/messages?conversation={conversation}")).await;
    let history = history.as_array().expect("a bare list");
    assert_eq!(history.len(), SENDERS * EACH);
    let times: Vec<&str> = history.iter().map(|message| text(&message["createdAt"])).collect();
    assert!(times.windows(2).all(|pair| pair[0] < pair[1]), "times follow the numbers");
    for sender in 0..SENDERS {
        let own = format!("{sender}:");
        let rounds: Vec<&str> = history
            .iter()
            .filter_map(|message| text(&message["content"]).strip_prefix(&own))
            .collect();
        assert_eq!(rounds, ["0", "1", "2", "3"], "order of sender {sender}");
    }
    let newest = one.get(&format!("/api/messages?conversationId={conversation}&limit=1")).await;
    assert_eq!(newest["pagination"]["total"], SENDERS * EACH, "the last number is the count");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_history_join_without_gap_or_overlap() {
    let suite = testing::suite(|_| {}).await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[1]).await;
    let conversation = one.open(&other).await;
    for number in 1..=25 {
        one.send(&conversation, &number.to_string()).await;
    }
    let mut heard = Vec::new();
    for page in 1..=3 {
        let path = format!("/api/messages/conversation/{conversation}?page={page}&limit=10");
        let answer = other.get(&path).await;
        assert_eq!(answer["pagination"]["totalPages"], 3);
        let messages = answer["messages"].as_array().expect("messages").clone();
        heard.splice(0..0, messages.iter().map(|message| text(&message["text"]).to_owned()));
    }
    let expected: Vec<String> = (1..=25).map(|number| number.to_string()).collect();
    assert_eq!(heard, expected);
}
