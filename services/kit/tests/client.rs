//! Channels over several replicas, with real servers on loopback: what a call costs when one of them is
//! dead, stopped or ending, and what is never done twice.

#[path = "client/replica.rs"]
mod replica;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chat_kit::{
    client::{Channel, channel},
    config::Upstream,
};
use futures_util::future::join_all;
use http::uri::PathAndQuery;
use replica::{Answer, Replica, SLOW, SLOWNESS};
use tokio::{net::TcpListener, time::sleep};
use tonic::{Code, Request, Status, client::Grpc};
use tonic_prost::ProstCodec;

/// May be made again.
const SAFE: &str = "/chat.v1.AuthService/CheckSession";
/// May not.
const UNSAFE: &str = "/chat.v1.AuthService/SendOtp";

/// How long a call may take where a test says nothing else.
const TIMEOUT: Duration = Duration::from_secs(3);
/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(15);

fn over(addresses: &[SocketAddr], timeout: Duration) -> Channel {
    let url = |address: &SocketAddr| format!("http://{address}").parse().expect("a URL");
    channel(&Upstream { timeout, ..Upstream::replicas(addresses.iter().map(url).collect()) })
}

async fn call(channel: &Channel, path: &'static str) -> Result<(), Status> {
    let mut grpc = Grpc::new(channel.clone());
    grpc.ready().await.map_err(|error| Status::unknown(error.to_string()))?;
    let codec: ProstCodec<(), ()> = ProstCodec::default();
    let answer = grpc.unary(Request::new(()), PathAndQuery::from_static(path), codec).await;
    answer.map(drop)
}

/// Returns an address that nobody listens at.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("an address")
}

/// Waits until something is so.
async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

/// Makes calls from several tasks until `work` is done; returns how many were made, and what failed.
async fn calls_during(
    channel: &Channel,
    path: &'static str,
    work: impl Future<Output = ()>,
) -> (usize, Vec<Status>) {
    let is_over = Arc::new(AtomicBool::new(false));
    let callers = (0..8).map(|_| {
        let (channel, is_over) = (channel.clone(), is_over.clone());
        tokio::spawn(async move {
            let (mut count, mut failures) = (0, Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                count += 1;
                failures.extend(call(&channel, path).await.err());
            }
            (count, failures)
        })
    });
    let callers: Vec<_> = callers.collect();
    work.await;
    is_over.store(true, Ordering::Relaxed);
    let mut total = (0, Vec::new());
    for ended in join_all(callers).await {
        let (count, failures) = ended.expect("no panic");
        total.0 += count;
        total.1.extend(failures);
    }
    total
}

#[tokio::test]
async fn replica_that_refuses_is_left_out_for_a_while() {
    // Accepts and hangs up, and counts how often that happens.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let broken = listener.local_addr().expect("an address");
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    let well = Replica::start(None);
    let channel = over(&[broken, nowhere().await, well.address], TIMEOUT);
    for _ in 0..400 {
        call(&channel, SAFE).await.expect("another replica answers");
    }
    let tries = tries.load(Ordering::Relaxed);
    assert!((1..=10).contains(&tries), "{tries} of 400 calls went to the broken replica");
}

#[tokio::test]
async fn calls_succeed_while_replicas_are_killed_and_come_back() {
    let mut replicas = [Replica::start(None), Replica::start(None)];
    let channel = over(&replicas.each_ref().map(|replica| replica.address), TIMEOUT);
    let kills = async {
        for round in 0..6 {
            let [one, other] = &mut replicas;
            let (victim, other) = if round % 2 == 0 { (one, other) } else { (other, one) };
            let served = victim.calls();
            eventually("both are used", async || victim.calls() > served + 20).await;
            victim.kill();
            let served = other.calls();
            eventually("the other is used", async || other.calls() > served + 20).await;
            *victim = Replica::start(Some(victim.address));
        }
    };
    let (count, failures) = calls_during(&channel, SAFE, kills).await;
    assert!(failures.is_empty(), "{} of {count} failed: {failures:?}", failures.len());
}

#[tokio::test]
async fn no_call_fails_or_is_made_twice_when_a_server_drains() {
    let mut replicas = [Replica::start(None), Replica::start(None)];
    let channel = over(&replicas.each_ref().map(|replica| replica.address), TIMEOUT);
    let mut served = 0;
    let drains = async {
        for round in 0..6 {
            let ending = &mut replicas[round % 2];
            eventually("both are used", async || ending.calls() > 20).await;
            ending.drain().await;
            served += ending.calls();
            *ending = Replica::start(Some(ending.address));
        }
    };
    let (count, failures) = calls_during(&channel, UNSAFE, drains).await;
    assert!(failures.is_empty(), "{} of {count} failed: {failures:?}", failures.len());
    assert_eq!(served + replicas.iter().map(Replica::calls).sum::<usize>(), count);
}

#[tokio::test]
async fn only_calls_that_may_be_repeated_survive_the_death_of_their_replica() {
    for (path, survives) in [(SAFE, true), (UNSAFE, false)] {
        let mut replicas = [Replica::start(None), Replica::start(None)];
        let channel = over(&replicas.each_ref().map(|replica| replica.address), TIMEOUT);
        for replica in &replicas {
            replica.set(Answer::Never);
        }
        let calling = tokio::spawn(async move { call(&channel, path).await });
        let total = |replicas: &[Replica; 2]| replicas.iter().map(Replica::calls).sum::<usize>();
        eventually("the call is heard", async || total(&replicas) == 1).await;
        let heard = usize::from(replicas[0].calls() == 0);
        replicas[1 - heard].set(Answer::Ok);
        replicas[heard].kill();
        let outcome = calling.await.expect("no panic").map_err(|status| status.code());
        assert_eq!(outcome, if survives { Ok(()) } else { Err(Code::Unavailable) });
        assert_eq!(total(&replicas), if survives { 2 } else { 1 });
    }
}

#[tokio::test]
async fn stopped_replica_costs_a_part_of_the_deadline_and_is_used_again_later() {
    let replicas = [Replica::start(None), Replica::start(None)];
    let channel = over(&replicas.each_ref().map(|replica| replica.address), TIMEOUT);
    eventually("both are used", async || {
        call(&channel, SAFE).await.expect("an answer");
        replicas.iter().all(|replica| replica.calls() > 0)
    })
    .await;
    let resume = replicas[0].stop();
    let mut slow = 0;
    for _ in 0..200 {
        let begun = Instant::now();
        call(&channel, SAFE).await.expect("the other replica answers");
        let taken = begun.elapsed();
        assert!(taken < TIMEOUT * 2 / 3, "a call took {taken:?}");
        slow += usize::from(taken > TIMEOUT / 4);
    }
    assert!((1..=5).contains(&slow), "{slow} of 200 calls met the stopped replica");
    drop(resume);
    let before = replicas[0].calls();
    eventually("it is used again", async || {
        call(&channel, SAFE).await.expect("an answer");
        replicas[0].calls() > before + 5
    })
    .await;
}

#[tokio::test]
async fn slow_call_is_doubled_only_where_its_replica_shows_no_other_sign_of_life() {
    let replicas = [Replica::start(None), Replica::start(None)];
    let channel = over(&replicas.each_ref().map(|replica| replica.address), TIMEOUT);
    let heard = || replicas.iter().map(Replica::calls).sum::<usize>();
    assert!(TIMEOUT / 3 < SLOWNESS && SLOWNESS < TIMEOUT);

    let slow = async { call(&channel, SLOW).await.expect("slow, and in time") };
    let (count, failures) = calls_during(&channel, SAFE, slow).await;
    assert!(failures.is_empty(), "{failures:?}");
    assert_eq!(heard(), count + 1, "others were answered, so the slow one was waited for");

    let before = heard();
    call(&channel, SLOW).await.expect("slow, and in time");
    assert_eq!(heard(), before + 2, "another replica was called beside the one that is silent");
}

#[tokio::test]
async fn deadline_holds_when_nobody_answers() {
    const TIMEOUT: Duration = Duration::from_millis(900);
    // Their connections are made by the system and never served.
    let silent = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").expect("a free port"));
    let silent = silent.each_ref().map(|listener| listener.local_addr().expect("an address"));
    let dead = [nowhere().await, nowhere().await];
    for (addresses, code) in [(silent, Code::DeadlineExceeded), (dead, Code::Unavailable)] {
        let channel = over(&addresses, TIMEOUT);
        for path in [SAFE, UNSAFE, SAFE, UNSAFE] {
            let begun = Instant::now();
            let status = call(&channel, path).await.expect_err("nobody answers");
            assert_eq!(status.code(), code, "{status}");
            assert!(begun.elapsed() < TIMEOUT * 2, "{:?}", begun.elapsed());
        }
    }
}

#[tokio::test]
async fn repetitions_have_a_budget() {
    const CALLS: usize = 1000;
    let replicas = [Replica::start(None), Replica::start(None)];
    for replica in &replicas {
        replica.set(Answer::Unavailable);
    }
    let channel = over(&replicas.each_ref().map(|replica| replica.address), TIMEOUT);
    for outcome in join_all((0..CALLS).map(|_| call(&channel, SAFE))).await {
        assert_eq!(outcome.expect_err("no replica can").code(), Code::Unavailable);
    }
    let heard: usize = replicas.iter().map(Replica::calls).sum();
    // A fifth of the calls, and five a second over ten seconds.
    assert!(heard > CALLS && heard <= CALLS + CALLS / 5 + 60, "{CALLS} calls became {heard}");
}

#[tokio::test]
async fn name_is_looked_up_and_all_its_addresses_are_used() {
    let replica = Replica::start(None);
    let url = format!("http://localhost:{}", replica.address.port()).parse().expect("a URL");
    let channel = channel(&Upstream::new(url));
    for _ in 0..10 {
        call(&channel, SAFE).await.expect("one of the addresses answers");
    }
    assert_eq!(replica.calls(), 10);
}
