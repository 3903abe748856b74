//! Who is online: sockets under leases, whatever dies or comes twice or in another order.

use std::time::{Duration, Instant};

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{client::Channel, time::after};
use chat_proto::v1::{
    CountOnlineRequest, RegisterSocketsRequest, RenewGatewayRequest, Socket,
    UnregisterSocketsRequest, User, user_service_client::UserServiceClient,
};
use chat_user::Presence;
use futures_util::future::join_all;
use tonic::{Code, Status};

use crate::{
    seen::Ear,
    support::{Suite, as_service, as_user, assert_failed, start, start_with},
};

/// How long anything may take to happen.
const PATIENCE: Duration = Duration::from_secs(25);

type Client = UserServiceClient<Channel>;

/// Somebody with a partner who hears of him, and an ear for what is announced.
pub struct Scene {
    pub suite: Suite,
    pub ada: User,
    pub partner: User,
    pub ear: Ear,
}

pub async fn scene(lease: Duration, grace: Duration) -> Scene {
    let suite = start_with(Presence { lease, grace }).await;
    let (ada, partner) = (suite.user("Ada").await, suite.user("Grace").await);
    suite.pair(&ada, &partner).await;
    Scene { ear: Ear::open().await, suite, ada, partner }
}

pub fn new_id() -> String {
    ObjectId::new().to_hex()
}

/// Registers a socket of a user; returns whether the lease lives.
pub async fn register(
    client: &Client,
    gateway: &str,
    socket: &str,
    user: &User,
) -> Result<bool, Status> {
    let socket = Socket { socket_id: socket.to_owned(), user_id: user.id.clone() };
    let request = RegisterSocketsRequest { gateway_id: gateway.to_owned(), sockets: vec![socket] };
    Ok(client.clone().register_sockets(as_service(request)).await?.into_inner().is_known)
}

pub async fn unregister(client: &Client, gateway: &str, socket: &str) -> Result<(), Status> {
    let socket_ids = vec![socket.to_owned()];
    let request = UnregisterSocketsRequest { gateway_id: gateway.to_owned(), socket_ids };
    client.clone().unregister_sockets(as_service(request)).await.map(drop)
}

async fn renew(client: &Client, gateway: &str) -> bool {
    let request = as_service(RenewGatewayRequest { gateway_id: gateway.to_owned() });
    let renewed = client.clone().renew_gateway(request).await.expect("renewed").into_inner();
    assert!(renewed.lease_millis > 0);
    renewed.is_known
}

/// Waits until something is so.
pub async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}

impl Scene {
    /// Returns whether the user is online, and the number of his newest transition.
    pub async fn state(&self) -> (bool, i64) {
        self.state_of(&self.ada).await
    }

    async fn state_of(&self, user: &User) -> (bool, i64) {
        let presences = self.suite.database.collection::<Document>("presences");
        let id = ObjectId::parse_str(&user.id).expect("an id");
        let found = presences.find_one(doc! { "_id": id }).await.expect("an answer");
        found.map_or((false, 0), |found| {
            let number = found.get_i64("number").expect("a number");
            (found.get_bool("is_online").expect("a state"), number)
        })
    }

    /// Waits until nothing is left of a socket.
    pub async fn until_forgotten(&self, socket: &str) {
        let sockets = self.suite.database.collection::<Document>("sockets");
        let socket = doc! { "_id": ObjectId::parse_str(socket).expect("an id") };
        eventually("the socket is forgotten", async || {
            sockets.find_one(socket.clone()).await.expect("an answer").is_none()
        })
        .await;
    }
}

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread")]
async fn two_first_sockets_on_two_gateways_make_one_event() {
    let mut scene = scene(LONG, SHORT).await;
    let other = scene.suite.replica().await;
    let gateways = [new_id(), new_id()];
    for round in 0..10 {
        let sockets = [new_id(), new_id()];
        let (one, two) = tokio::join!(
            register(&scene.suite.users, &gateways[0], &sockets[0], &scene.ada),
            register(&other, &gateways[1], &sockets[1], &scene.ada),
        );
        assert!(one.expect("registered") && two.expect("registered"));
        assert_eq!(scene.state().await, (true, 2 * round + 1));
        let heard = scene.ear.hear(&scene.ada).await;
        assert_eq!((heard.is_online, heard.number), (true, 2 * round + 1));
        assert_eq!(heard.recipients, std::slice::from_ref(&scene.partner.id));
        let (one, two) = tokio::join!(
            unregister(&other, &gateways[0], &sockets[0]),
            unregister(&scene.suite.users, &gateways[1], &sockets[1]),
        );
        one.and(two).expect("unregistered");
        let heard = scene.ear.hear(&scene.ada).await;
        assert_eq!((heard.is_online, heard.number), (false, 2 * round + 2));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_is_not_the_last_one_makes_no_event() {
    let mut scene = scene(LONG, SHORT).await;
    let (gateways, sockets) = ([new_id(), new_id()], [new_id(), new_id()]);
    for (gateway, socket) in gateways.iter().zip(&sockets) {
        register(&scene.suite.users, gateway, socket, &scene.ada).await.expect("registered");
    }
    unregister(&scene.suite.users, &gateways[0], &sockets[0]).await.expect("unregistered");
    scene.until_forgotten(&sockets[0]).await;
    assert_eq!(scene.state().await, (true, 1));
    unregister(&scene.suite.users, &gateways[1], &sockets[1]).await.expect("unregistered");
    assert!(scene.ear.hear(&scene.ada).await.is_online);
    let heard = scene.ear.hear(&scene.ada).await;
    assert_eq!((heard.is_online, heard.number), (false, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_within_the_grace_period_was_never_gone() {
    let scene = scene(LONG, Duration::from_secs(2)).await;
    let (gateways, sockets) = ([new_id(), new_id()], [new_id(), new_id()]);
    register(&scene.suite.users, &gateways[0], &sockets[0], &scene.ada).await.expect("registered");
    unregister(&scene.suite.users, &gateways[0], &sockets[0]).await.expect("unregistered");
    register(&scene.suite.users, &gateways[1], &sockets[1], &scene.ada).await.expect("registered");
    scene.until_forgotten(&sockets[0]).await;
    assert_eq!(scene.state().await, (true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_gone_was_last_seen_when_he_left_not_when_it_is_told() {
    let grace = Duration::from_secs(5);
    let mut scene = scene(LONG, grace).await;
    let (gateway, socket) = (new_id(), new_id());
    register(&scene.suite.users, &gateway, &socket, &scene.ada).await.expect("registered");
    let came_at = scene.ear.hear(&scene.ada).await.at;
    unregister(&scene.suite.users, &gateway, &socket).await.expect("unregistered");
    let left_before = DateTime::now();
    let heard = scene.ear.hear(&scene.ada).await;
    assert!(!heard.is_online);
    assert!(came_at <= heard.at && heard.at < after(left_before, grace), "{heard:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn lease_that_runs_out_takes_its_users_offline_once_and_never_lives_again() {
    let lease = Duration::from_secs(1);
    let mut scene = scene(lease, LONG).await;
    let other = scene.suite.replica().await;
    let (gateway, sockets) = (new_id(), [new_id(), new_id()]);
    for socket in &sockets {
        register(&scene.suite.users, &gateway, socket, &scene.ada).await.expect("registered");
    }
    assert!(scene.ear.hear(&scene.ada).await.is_online);
    let heard = scene.ear.hear(&scene.ada).await;
    assert_eq!((heard.is_online, heard.number), (false, 2));
    for socket in &sockets {
        scene.until_forgotten(socket).await;
    }
    for client in [&scene.suite.users, &other] {
        assert!(!renew(client, &gateway).await, "it is over");
        let known = register(client, &gateway, &new_id(), &scene.ada).await;
        assert!(!known.expect("an answer"));
    }
    assert_eq!(scene.state().await, (false, 2));
    // The gateway goes on under another lease, with the same sockets.
    let gateway = new_id();
    for socket in &sockets {
        register(&other, &gateway, socket, &scene.ada).await.expect("registered");
    }
    let heard = scene.ear.hear(&scene.ada).await;
    assert_eq!((heard.is_online, heard.number), (true, 3));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_under_a_new_lease_outlive_the_old_one() {
    let scene = scene(Duration::from_secs(2), LONG).await;
    let (old, new, socket) = (new_id(), new_id(), new_id());
    let users = &scene.suite.users;
    register(users, &old, &socket, &scene.ada).await.expect("registered");
    register(users, &new, &socket, &scene.ada).await.expect("registered again");
    // Whoever stays under the old one goes with it; the other's socket is none of it any more.
    register(users, &old, &new_id(), &scene.partner).await.expect("registered");
    eventually("the old lease is over", async || {
        assert!(renew(users, &new).await);
        scene.state_of(&scene.partner).await == (false, 2)
    })
    .await;
    assert_eq!(scene.state().await, (true, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_that_is_gone_never_comes_however_late_its_registration() {
    let scene = scene(LONG, SHORT).await;
    let (gateway, socket) = (new_id(), new_id());
    let users = &scene.suite.users;
    for _ in 0..2 {
        unregister(users, &gateway, &socket).await.expect("unregistered");
        register(users, &gateway, &socket, &scene.ada).await.expect("an answer");
    }
    assert_eq!(scene.state().await, (false, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn sockets_that_come_and_go_at_once_leave_nobody_online() {
    let scene = scene(LONG, Duration::ZERO).await;
    let other = scene.suite.replica().await;
    let gateway = new_id();
    let sockets: Vec<String> = (0..60).map(|_| new_id()).collect();
    let both = sockets.iter().map(async |socket| {
        let (came, gone) = tokio::join!(
            register(&scene.suite.users, &gateway, socket, &scene.ada),
            unregister(&other, &gateway, socket),
        );
        came.expect("registered");
        gone.expect("unregistered");
        // Sent twice.
        register(&other, &gateway, socket, &scene.ada).await.expect("an answer");
        unregister(&scene.suite.users, &gateway, socket).await.expect("unregistered");
    });
    join_all(both).await;
    eventually("offline", async || !scene.state().await.0).await;
    let last = new_id();
    register(&other, &gateway, &last, &scene.ada).await.expect("registered");
    assert!(scene.state().await.0, "who stays is online");
    for socket in &sockets {
        let stored = scene.suite.database.collection::<Document>("sockets");
        let living = doc! {
            "_id": ObjectId::parse_str(socket).expect("an id"), "leaves_at": { "$exists": false },
        };
        assert_eq!(stored.count_documents(living).await.expect("a count"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_replica_left_undone_is_done() {
    let mut scene = scene(LONG, SHORT).await;
    let (gateway, socket) = (new_id(), new_id());
    let ada = ObjectId::parse_str(&scene.ada.id).expect("an id");
    let users = scene.suite.users.clone();
    // It died after it had stored the socket: the gateway asks again.
    assert!(renew(&users, &gateway).await);
    let sockets = scene.suite.database.collection::<Document>("sockets");
    let stored = doc! {
        "_id": ObjectId::parse_str(&socket).expect("an id"),
        "user_id": ada,
        "gateway_id": ObjectId::parse_str(&gateway).expect("an id"),
    };
    sockets.insert_one(stored).await.expect("stored");
    register(&users, &gateway, &socket, &scene.ada).await.expect("registered");
    assert_eq!(scene.ear.hear(&scene.ada).await.number, 1);
    // It died after it had taken the user offline: the socket that is gone is still there.
    unregister(&users, &gateway, &socket).await.expect("unregistered");
    assert_eq!(scene.ear.hear(&scene.ada).await.number, 2);
    scene.until_forgotten(&socket).await;
    sockets
        .insert_one(doc! {
            "_id": ObjectId::new(), "user_id": ada, "leaves_at": bson::DateTime::now(),
        })
        .await
        .expect("stored");
    // A call that nobody waited for any more brought him online without a socket.
    let presences = scene.suite.database.collection::<Document>("presences");
    let lost = doc! { "$set": {
        "is_online": true, "number": 3_i64, "look_at": bson::DateTime::now(),
    } };
    presences.update_one(doc! { "_id": ada }, lost).await.expect("stored");
    let heard = scene.ear.hear(&scene.ada).await;
    assert_eq!((heard.is_online, heard.number), (false, 4));
}

#[tokio::test(flavor = "multi_thread")]
async fn those_online_are_counted_once_for_all_who_ask_in_a_second() {
    let scene = scene(LONG, SHORT).await;
    let gateway = new_id();
    let count = async || {
        let mut users = scene.suite.users.clone();
        let counted = users.count_online(as_user(CountOnlineRequest {})).await;
        counted.expect("a count").into_inner().count
    };
    scene.suite.forget_commands();
    let begun = Instant::now();
    assert_eq!(join_all((0..50).map(|_| count())).await, [0; 50]);
    let seconds = usize::try_from(begun.elapsed().as_secs()).expect("a few");
    assert!(scene.suite.count("aggregate", "presences") <= 1 + seconds);
    for user in [&scene.ada, &scene.partner, &scene.ada] {
        register(&scene.suite.users, &gateway, &new_id(), user).await.expect("registered");
    }
    eventually("both are counted", async || count().await == 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_sockets_take_as_many_commands_as_one() {
    let suite = start().await;
    let gateway = new_id();
    let socket = |_| Socket { socket_id: new_id(), user_id: new_id() };
    let mut counts = Vec::new();
    for sockets in [1, 1, 500] {
        let sockets: Vec<Socket> = (0..sockets).map(socket).collect();
        let ids: Vec<String> = sockets.iter().map(|socket| socket.socket_id.clone()).collect();
        suite.forget_commands();
        let request = RegisterSocketsRequest { gateway_id: gateway.clone(), sockets };
        let mut users = suite.users.clone();
        users.register_sockets(as_service(request)).await.expect("registered");
        let request = UnregisterSocketsRequest { gateway_id: gateway.clone(), socket_ids: ids };
        users.unregister_sockets(as_service(request)).await.expect("unregistered");
        // The sweep and the relays look at these collections as well, in other commands.
        counts.push(["sockets", "presences"].map(|name| suite.count("insert", name)));
    }
    assert_eq!(counts, [[1, 1]; 3], "those of users who were never online");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_presence_asks_of_mongodb_has_an_index() {
    let mut scene = scene(Duration::from_secs(1), SHORT).await;
    let users = scene.suite.users.clone();
    let (gateway, sockets) = (new_id(), [new_id(), new_id(), new_id()]);
    for socket in [&sockets[0], &sockets[0], &sockets[1]] {
        register(&users, &gateway, socket, &scene.ada).await.expect("registered");
    }
    for socket in [&sockets[0], &sockets[2]] {
        unregister(&users, &gateway, socket).await.expect("unregistered");
    }
    users.clone().count_online(as_user(CountOnlineRequest {})).await.expect("a count");
    assert!(scene.ear.hear(&scene.ada).await.is_online);
    assert!(!scene.ear.hear(&scene.ada).await.is_online);
    scene.until_forgotten(&sockets[1]).await;
    let expected = ["find", "findAndModify", "update", "aggregate", "delete"];
    scene.suite.assert_indexed(&expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn leases_are_for_services_and_bounded() {
    let suite = start().await;
    let ada = suite.user("Ada").await;
    let mut users = suite.users.clone();
    let refused = users.renew_gateway(as_user(RenewGatewayRequest { gateway_id: new_id() })).await;
    assert_eq!(refused.expect_err("for services").code(), Code::PermissionDenied);
    let request = RegisterSocketsRequest { gateway_id: new_id(), sockets: Vec::new() };
    let refused = users.register_sockets(as_user(request)).await;
    assert_eq!(refused.expect_err("for services").code(), Code::PermissionDenied);
    let request = UnregisterSocketsRequest { gateway_id: new_id(), socket_ids: Vec::new() };
    let refused = users.unregister_sockets(as_user(request)).await;
    assert_eq!(refused.expect_err("for services").code(), Code::PermissionDenied);

    let socket = Socket { socket_id: new_id(), user_id: ada.id.clone() };
    let request = RegisterSocketsRequest { gateway_id: new_id(), sockets: vec![socket; 501] };
    let refused = users.register_sockets(as_service(request)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    let request =
        UnregisterSocketsRequest { gateway_id: new_id(), socket_ids: vec![new_id(); 501] };
    let refused = users.unregister_sockets(as_service(request)).await;
    assert_failed(refused, Code::InvalidArgument, "validation_error");
    for (gateway, socket) in [("x", new_id()), (&new_id(), "x".to_owned())] {
        let refused = register(&suite.users, gateway, &socket, &ada).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_id");
        let refused = unregister(&suite.users, gateway, &socket).await;
        assert_failed(refused, Code::InvalidArgument, "invalid_id");
    }
}
