//! Candidates of a call on their way to the other side, whatever fails meanwhile.

use chat_local::testing;
use serde_json::json;

use crate::calls::scene;

#[tokio::test(flavor = "multi_thread")]
async fn candidates_that_are_added_while_nats_is_dead_are_heard_once_it_is_back() {
    let mut servers = testing::own_servers().await;
    let mut scene = scene(testing::suite_on(&servers, |_| {}).await).await;
    let id = scene.talk().await;
    servers.kill_nats().await.expect("killed");
    let candidate = |number: u32| json!({ "candidate": format!("candidate:{number}") });
    for number in 1..=3 {
        let added = json!({ "callId": id, "candidate": candidate(number) });
        scene.one.accepted("call:candidate", added).await;
    }
    servers.restart_nats().await.expect("restarted");
    let mut heard = Vec::new();
    for _ in 1..=3 {
        let told = scene.other.expect("call:candidate").await;
        assert_eq!(told["callId"], id);
        heard.push(told["candidate"].clone());
    }
    // In any order: each is a way of its own.
    heard.sort_by_key(ToString::to_string);
    assert_eq!(heard, [1, 2, 3].map(candidate));
}
