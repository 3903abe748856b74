//! Two at once, each by way of another replica: one wins, every time. All 1,000 rounds of each race take
//! longer than a test should, see `docs/development.md`.

use std::sync::Arc;

use chat_proto::v1::Call;
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::support::{Device, Suite, assert_failed, start};

/// Races that go on side by side, each between people of its own.
const LANES: usize = 4;
const FEW: usize = 15;
const MANY: usize = 250;

/// Asserts that one of two won and the other one was refused; returns the winner's place and the call.
#[track_caller]
fn winner(outcomes: [Result<Call, Status>; 2], code: Code, reason: &str) -> (usize, Call) {
    let [first, second] = outcomes;
    match (first, second) {
        (Ok(call), lost) => {
            assert_failed(lost, code, reason);
            (0, call)
        }
        (lost, Ok(call)) => {
            assert_failed(lost, code, reason);
            (1, call)
        }
        (Err(first), Err(second)) => panic!("nobody won: {first}, {second}"),
    }
}

/// Runs the lanes of a race; returns how often each replica won.
async fn race<F>(rounds: usize, lane: impl Fn(Arc<Suite>, usize) -> F) -> [usize; 2]
where
    F: Future<Output = [usize; 2]> + Send + 'static,
{
    let suite = Arc::new(start().await);
    let lanes = (0..LANES).map(|_| tokio::spawn(lane(Arc::clone(&suite), rounds)));
    let won = join_all(lanes).await.into_iter().map(|lane| lane.expect("a lane"));
    let won = won.fold([0, 0], |[a, b], [c, d]| [a + c, b + d]);
    assert_eq!(won[0] + won[1], LANES * rounds);
    won
}

/// Two people ring a third.
async fn invites(suite: Arc<Suite>, rounds: usize) -> [usize; 2] {
    let [ada, grace, joan] = [suite.device().await, suite.device().await, suite.device().await];
    suite.connect(&ada, &joan).await;
    suite.connect(&grace, &joan).await;
    let mut won = [0, 0];
    for _ in 0..rounds {
        let (one, other) = tokio::join!(suite.ring(0, &ada, &joan), suite.ring(1, &grace, &joan));
        let (place, call) = winner([one, other], Code::AlreadyExists, "busy");
        won[place] += 1;
        suite.hang_up([&ada, &grace][place], &call.id).await.expect("ended");
    }
    won
}

/// Two people ring each other.
async fn crossed(suite: Arc<Suite>, rounds: usize) -> [usize; 2] {
    let (ada, grace) = suite.pair().await;
    let mut won = [0, 0];
    for _ in 0..rounds {
        let (one, other) = tokio::join!(suite.ring(0, &ada, &grace), suite.ring(1, &grace, &ada));
        let (place, call) = winner([one, other], Code::AlreadyExists, "busy");
        won[place] += 1;
        suite.hang_up([&ada, &grace][place], &call.id).await.expect("ended");
    }
    won
}

/// Two devices of the callee answer.
async fn answers(suite: Arc<Suite>, rounds: usize) -> [usize; 2] {
    let (ada, phone) = suite.pair().await;
    let tablet = Device::of(phone.user);
    let mut won = [0, 0];
    for _ in 0..rounds {
        let id = suite.ring(0, &ada, &phone).await.expect("it rings").id;
        let (one, other) =
            tokio::join!(suite.answer(0, &phone, &id), suite.answer(1, &tablet, &id));
        let (place, _) = winner([one, other], Code::AlreadyExists, "already_answered");
        won[place] += 1;
        let [lost, winner] = [[&tablet, &phone], [&phone, &tablet]][place];
        let refused = suite.hang_up(lost, &id).await;
        assert_failed(refused, Code::PermissionDenied, "forbidden");
        suite.hang_up(winner, &id).await.expect("ended by who answered");
    }
    won
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_ring_the_same_one_wins() {
    race(FEW, invites).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_who_ring_each_other_one_wins() {
    race(FEW, crossed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_devices_that_answer_one_wins() {
    race(FEW, answers).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a thousand rounds: see docs/development.md"]
async fn of_two_who_ring_the_same_one_wins_a_thousand_times() {
    let won = race(MANY, invites).await;
    assert!(won.iter().all(|won| *won > 0), "no race: {won:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a thousand rounds: see docs/development.md"]
async fn of_two_who_ring_each_other_one_wins_a_thousand_times() {
    let won = race(MANY, crossed).await;
    assert!(won.iter().all(|won| *won > 0), "no race: {won:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a thousand rounds: see docs/development.md"]
async fn of_two_devices_that_answer_one_wins_a_thousand_times() {
    let won = race(MANY, answers).await;
    assert!(won.iter().all(|won| *won > 0), "no race: {won:?}");
}
