//! The sweep beside what comes at the same moment: no socket is lost to it, and nobody stays online without
//! one.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{client::Channel, id::UserId};
use chat_proto::v1::{RegisterSocketsRequest, Socket, user_service_client::UserServiceClient};
use futures_util::{TryStreamExt as _, future::join_all};
use mongodb::Collection;

use crate::{
    presence::{Scene, eventually, new_id, register, scene, unregister},
    support::as_service,
};

const LONG: Duration = Duration::from_mins(1);
/// Sockets of one call.
const BATCH: usize = 100;

fn id(text: &str) -> ObjectId {
    ObjectId::parse_str(text).expect("an id")
}

fn collection(scene: &Scene, name: &str) -> Collection<Document> {
    scene.suite.database.collection(name)
}

/// Registers many sockets as a gateway does after its lease: again, until it is told that they are held.
async fn register_all(client: &UserServiceClient<Channel>, gateway: &str, sockets: &[Socket]) {
    let calls = sockets.chunks(BATCH).map(async |sockets| {
        let request =
            RegisterSocketsRequest { gateway_id: gateway.to_owned(), sockets: sockets.to_vec() };
        eventually("registered", async || {
            let answer = client.clone().register_sockets(as_service(request.clone())).await;
            answer.is_ok_and(|answer| answer.into_inner().is_known)
        })
        .await;
    });
    join_all(calls).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_socket_is_lost_that_comes_under_a_new_lease_while_the_old_one_is_swept() {
    let scene = scene(LONG, LONG).await;
    let other = scene.suite.replica().await;
    let socket = |_| Socket { socket_id: new_id(), user_id: UserId::new().to_string() };
    let sockets: Vec<Socket> = (0..1000).map(socket).collect();
    let ids: HashSet<ObjectId> = sockets.iter().map(|socket| id(&socket.socket_id)).collect();
    let (gateways, stored) = (collection(&scene, "gateways"), collection(&scene, "sockets"));
    let mut old = new_id();
    register_all(&scene.suite.users, &old, &sockets).await;
    for round in 0..8 {
        let run_out = doc! { "$set": { "expires_at": DateTime::now() } };
        gateways.update_one(doc! { "_id": id(&old) }, run_out).await.expect("a lease");
        // The sweep ends a lease, and then takes what is held under it.
        let is_over = doc! { "_id": id(&old), "is_over": true };
        let begun = Instant::now();
        while gateways.find_one(is_over.clone()).await.expect("an answer").is_none() {
            assert!(begun.elapsed() < LONG, "never swept");
        }
        let new = new_id();
        let client = if round % 2 == 0 { &other } else { &scene.suite.users };
        register_all(client, &new, &sockets).await;
        let left = doc! { "gateway_id": id(&old) };
        eventually("the old lease is swept", async || {
            stored.count_documents(left.clone()).await.expect("a count") == 0
        })
        .await;
        let held = stored.find(doc! { "gateway_id": id(&new) }).await.expect("sockets");
        let held: Vec<Document> = held.try_collect().await.expect("sockets");
        let held = held.iter().map(|socket| socket.get_object_id("_id").expect("an id"));
        let held: HashSet<ObjectId> = held.collect();
        assert_eq!(ids.difference(&held).count(), 0, "sockets are lost in round {round}");
        old = new;
    }
    let online = doc! { "is_online": true };
    let presences = collection(&scene, "presences");
    let count = presences.count_documents(online).await.expect("a count");
    assert_eq!(count, u64::try_from(sockets.len()).expect("a few"), "all of them are online");
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_is_swept_while_it_is_taken_over_is_held_all_the_same() {
    let scene = scene(LONG, LONG).await;
    let (users, ada) = (&scene.suite.users, &scene.ada);
    let (old, new, socket) = (new_id(), new_id(), new_id());
    register(users, &old, &socket, ada).await.expect("registered");
    let (reached, release) = scene.suite.hold("update", "sockets");
    let swept = async {
        reached.await.expect("it is there, and is to be taken over");
        let run_out = doc! { "$set": { "expires_at": DateTime::now() } };
        let gateways = collection(&scene, "gateways");
        gateways.update_one(doc! { "_id": id(&old) }, run_out).await.expect("a lease");
        scene.until_forgotten(&socket).await;
        release.send(()).expect("it waits");
    };
    let (known, ()) = tokio::join!(register(users, &new, &socket, ada), swept);
    assert!(known.expect("registered"));
    let held = doc! { "_id": id(&socket), "gateway_id": id(&new) };
    let held = collection(&scene, "sockets").find_one(held).await.expect("an answer");
    assert!(held.is_some());
    assert_eq!(scene.state().await, (true, 3), "offline with the old lease, online with the new");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_arrives_while_his_last_socket_is_swept_is_looked_at_again() {
    let scene = scene(LONG, Duration::ZERO).await;
    let ada = doc! { "_id": id(&scene.ada.id) };
    let presences = collection(&scene, "presences");
    for _ in 0..5 {
        let (gateway, socket) = (new_id(), new_id());
        register(&scene.suite.users, &gateway, &socket, &scene.ada).await.expect("registered");
        // It was looked at already, and he was there.
        let looked = doc! { "$unset": { "look_at": "" } };
        presences.update_one(ada.clone(), looked).await.expect("stored");
        unregister(&scene.suite.users, &gateway, &socket).await.expect("unregistered");
        // Registrations that were given up count arrivals without a socket, for longer than two sweeps.
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(1) {
            let arrival = doc! { "$inc": { "arrivals": 1_i64 } };
            presences.update_one(ada.clone(), arrival).await.expect("counted");
        }
        eventually("offline", async || !scene.state().await.0).await;
        scene.until_forgotten(&socket).await;
    }
}
