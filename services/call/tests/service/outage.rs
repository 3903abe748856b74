//! Calls live on where nobody could say that their sockets are there: while MongoDB is away, or every
//! replica of the service.

use std::time::{Duration, Instant};

use bson::{DateTime, doc};
use chat_local::testing;

use crate::{
    ear::Ear,
    support::{Options, Suite, eventually, start_with},
};

/// A lease that tests can wait for; an interruption is long from one second on.
const LEASE: Duration = Duration::from_secs(2);

fn short_lease(options: &mut Options) {
    options.calls.lease = LEASE;
    options.calls.grace = LEASE;
}

fn ago(span: Duration) -> DateTime {
    chat_kit::time::before(DateTime::now(), span)
}

/// Waits until a replica has looked at what is due, after now.
async fn looked(suite: &Suite) {
    let now = DateTime::now();
    eventually("a replica looks", async || suite.has_looked_since(now).await).await;
}

async fn state(suite: &Suite, id: &str) -> String {
    suite.document(id).await.get_str("state").expect("a state").to_owned()
}

#[tokio::test]
async fn calls_live_on_while_the_database_is_away_for_longer_than_a_lease() {
    let mut servers = testing::own_servers().await;
    let suite = start_with(|options| {
        short_lease(options);
        options.mongodb_uri = servers.mongodb_uri.clone();
    })
    .await;
    let mut ear = Ear::open().await;
    let (ada, grace) = suite.pair().await;
    let (joan, emmy) = suite.pair().await;
    let talking = suite.answered(&ada, &grace).await;
    ear.hear_answered(&talking).await;
    let ringing = suite.ring(0, &joan, &emmy).await.expect("it rings").id;
    ear.hear(&ringing).await;
    // One side is about to come back.
    suite.detach(&grace).await;
    let sockets = [(talking.as_str(), &ada), (ringing.as_str(), &joan)];
    servers.kill_mongod().await.expect("killed");
    let began = Instant::now();
    while began.elapsed() < 2 * LEASE {
        suite.try_to_renew(&sockets).await.expect_err("there is no database");
    }
    servers.restart_mongod().await.expect("restarted");
    // Whoever looks first comes before all renewals.
    looked(&suite).await;
    assert_eq!(state(&suite, &talking).await, "answered");
    assert_eq!(state(&suite, &ringing).await, "ringing");
    assert_eq!(suite.renew(&sockets).await, []);
    let back = grace.again();
    assert_eq!(suite.attach(&back).await.as_ref(), Some(&talking));
    suite.answer(1, &emmy, &ringing).await.expect("answered");
    suite.hang_up(&back, &talking).await.expect("ended by the one that took over");
    assert_eq!(ear.hear_end(&talking).await, grace.user.to_string());
    // Leases are believed again.
    ear.hear(&ringing).await;
    assert_eq!(ear.hear_end(&ringing).await, "disconnect");
}

#[tokio::test]
async fn calls_live_on_while_all_replicas_are_away_but_ring_no_longer_for_it() {
    let (mut suite, mut ear) = (start_with(short_lease).await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let (joan, emmy) = suite.pair().await;
    let talking = suite.answered(&ada, &grace).await;
    ear.hear_answered(&talking).await;
    let ringing = suite.ring(0, &joan, &emmy).await.expect("it rings").id;
    ear.hear(&ringing).await;
    suite.stop_replicas().await;
    // So it looks a minute later.
    let minute = ago(Duration::from_mins(1));
    let lapsed = doc! { "caller.bound.held_until": minute, "due_at": minute };
    suite.alter(&talking, doc! { "$set": &lapsed }).await;
    suite.alter(&talking, doc! { "$set": { "callee.bound.held_until": minute } }).await;
    suite.alter(&ringing, doc! { "$set": lapsed }).await;
    suite.alter(&ringing, doc! { "$set": { "ring_until": minute } }).await;
    let pulse = suite.pulse().update_one(doc! {}, doc! { "$set": { "at": minute } }).await;
    assert_eq!(pulse.expect("an answer").matched_count, 1);
    suite.start_replicas().await;
    looked(&suite).await;
    assert_eq!(state(&suite, &talking).await, "answered");
    assert_eq!(ear.hear_end(&ringing).await, "timeout");
    assert_eq!(suite.renew(&[(&talking, &ada), (&talking, &grace)]).await, []);
    assert_eq!(ear.hear_end(&talking).await, "disconnect", "nobody renews any more");
}

#[tokio::test]
async fn interruption_that_nobody_has_made_up_for_is_made_up_for_by_another_replica() {
    let (mut suite, mut ear) = (start_with(short_lease).await, Ear::open().await);
    let (ada, grace) = suite.pair().await;
    let id = suite.answered(&ada, &grace).await;
    ear.hear_answered(&id).await;
    suite.stop_replicas().await;
    // A replica has found the interruption, and has died.
    let minute = ago(Duration::from_mins(1));
    let lapsed = doc! {
        "caller.bound.held_until": minute,
        "callee.bound.held_until": minute,
        "due_at": minute,
    };
    suite.alter(&id, doc! { "$set": lapsed }).await;
    let found = doc! { "$set": { "at": DateTime::now(), "resumed_at": DateTime::now() } };
    let pulse = suite.pulse().update_one(doc! {}, found).await;
    assert_eq!(pulse.expect("an answer").matched_count, 1);
    suite.start_replicas().await;
    looked(&suite).await;
    assert_eq!(state(&suite, &id).await, "answered");
    suite.hang_up(&ada, &id).await.expect("ended");
}
