//! Who is online, over two gateways: who hears of it, what a new socket is told, what requests answer, and
//! what becomes of it when something is away.

use std::time::Duration;

use chat_e2e::socket::{Heard, Receiver};
use chat_kit::{
    config::{Mongo, Secret},
    mongo,
};
use chat_local::testing::{self, TestSuite};
use mongodb::{
    Database,
    bson::{Document, doc, oid::ObjectId},
};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::{
    harness::{Person, eventually, text},
    own_gateway::{OwnGateway, service, upstream},
    proxy::Proxy,
};

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_mins(1);

/// Come with conversations and messages, on a clock of their own.
const BESIDE: [&str; 4] = ["connected", "conversation:created", "delivered", "receipt:delivered"];

/// Starts a suite in which people go offline after so long.
pub async fn suite(lease: Duration, grace: Duration) -> TestSuite {
    testing::suite(|options| options.presence = chat_user::Presence { lease, grace }).await
}

/// Returns the database of a service.
pub async fn database(suite: &TestSuite, service: &str) -> Database {
    let uri = Secret::new(&testing::servers().await.mongodb_uri);
    let config = Mongo { uri, database: Some(suite.database(service)) };
    mongo::connect(&config, "test", None).await.expect("mongodb answers")
}

/// Returns the names and bodies of the next events of a socket.
pub async fn heard<const COUNT: usize>(receiver: &mut Receiver) -> [(String, Value); COUNT] {
    let mut heard = Vec::new();
    while heard.len() < COUNT {
        let Heard::Event(event) = receiver.next_of_all().await else { panic!("the end") };
        if !BESIDE.contains(&event.name()) {
            let body = serde_json::from_str(event.body()).expect("JSON");
            heard.push((event.name().to_owned(), body));
        }
    }
    heard.try_into().expect("as many")
}

/// Connects, waits until it counts, and takes in what a new socket is told, so that what is heard next is
/// news.
pub async fn listen(person: &Person, gateway: std::net::SocketAddr, dialect: &str) -> Receiver {
    let mut receiver = person.listen(gateway, dialect).await;
    match dialect {
        "flutter" | "electron" => drop(heard::<1>(&mut receiver).await),
        "unified" => {}
        _ => drop(heard::<2>(&mut receiver).await),
    }
    let is_online = async || person.get("/api/auth/me").await["user"]["isOnline"] == true;
    eventually("registered", is_online).await;
    receiver
}

/// Returns the instant at which a change happened, of which a socket hears as its dialect has it.
pub async fn hear_of(receiver: &mut Receiver, dialect: &str, id: &str, is_online: bool) -> String {
    let mobile = |at: &str| json!({ "uid": id, "online": is_online, "at": at, "lastSeen": at });
    let status = if is_online { "online" } else { "offline" };
    let desktop =
        |at: &str| json!({ "userId": id, "status": status, "isOnline": is_online, "lastSeen": at });
    let unified = |at: &str| json!({ "userId": id, "isOnline": is_online, "at": at });
    let named = |name: &str, body: Value| (name.to_owned(), body);
    match dialect {
        "flutter" => {
            let [heard] = heard(receiver).await;
            let at = text(&heard.1["at"]).to_owned();
            assert_eq!(heard, named("presence", mobile(&at)));
            at
        }
        "electron" => {
            let [heard] = heard(receiver).await;
            let at = text(&heard.1["lastSeen"]).to_owned();
            assert_eq!(heard, named("user-status-changed", desktop(&at)));
            at
        }
        "unified" => {
            let [heard] = heard(receiver).await;
            let at = text(&heard.1["at"]).to_owned();
            assert_eq!(heard, named("presence", unified(&at)));
            at
        }
        _ => {
            let both = heard::<2>(receiver).await;
            let at = text(&both[0].1["at"]).to_owned();
            let mobile = named("presence", mobile(&at));
            assert_eq!(both, [mobile, named("user-status-changed", desktop(&at))]);
            at
        }
    }
}

async fn is_online(viewer: &Person, person: &Person) -> bool {
    let answer = viewer.get(&format!("/api/users/presence?ids={}", person.id)).await;
    answer[&person.id].as_bool().expect("a boolean")
}

#[tokio::test(flavor = "multi_thread")]
async fn partners_hear_of_the_first_socket_and_of_the_last_in_every_dialect() {
    let suite = suite(LONG, Duration::from_secs(2)).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let one = Person::new(first).await;
    let other = Person::new(second).await;
    let stranger = Person::new(second).await;
    let conversation = one.open(&other).await;
    let dialects = ["flutter", "electron", "unified", "none"];
    let mut ears = Vec::new();
    for dialect in dialects {
        ears.push((listen(&one, first, dialect).await, dialect));
    }
    let mut deaf = listen(&stranger, first, "none").await;

    for _ in 0..2 {
        let phone = listen(&other, second, "flutter").await;
        for (ear, dialect) in &mut ears {
            hear_of(ear, dialect, &other.id, true).await;
        }
        // Another device comes and goes, and the one that was first goes: nothing is to be heard of it.
        drop(listen(&other, first, "electron").await);
        let tablet = listen(&other, first, "flutter").await;
        drop(phone);
        let _stranger = listen(&stranger, second, "flutter").await;
        other.send(&conversation, "between").await;
        for (ear, dialect) in &mut ears {
            let [(_, message)] = heard(ear).await;
            assert_eq!(message["content"], "between", "{dialect}: {message}");
            if *dialect == "none" {
                heard::<1>(ear).await;
            }
        }
        drop(tablet);
        for (ear, dialect) in &mut ears {
            hear_of(ear, dialect, &other.id, false).await;
        }
    }
    // The stranger hears what is for him, and nothing before it.
    let theirs = one.open(&stranger).await;
    one.send(&theirs, "hello").await;
    let [(name, _)] = heard(&mut deaf).await;
    assert_eq!(name, "receive-message");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_socket_is_told_of_its_partners_and_of_nobody_else() {
    let suite = suite(LONG, LONG).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let [one, here, away, stranger] = [
        Person::new(first).await,
        Person::new(second).await,
        Person::new(first).await,
        Person::new(second).await,
    ];
    one.open(&here).await;
    one.group(&[&away]).await;
    let _here = listen(&here, second, "flutter").await;
    let _stranger = listen(&stranger, second, "flutter").await;
    let check = |(name, body): &(String, Value)| match name.as_str() {
        "presence:initial" => {
            assert!(text(&body["timestamp"]).ends_with('Z'));
            let users = body["users"].as_object().expect("a map");
            assert_eq!(users.len(), 2, "{body}");
            for (person, is_online) in [(&here, true), (&away, false)] {
                let state = &users[&person.id];
                assert_eq!(
                    (&state["online"], &state["isOnline"]),
                    (&json!(is_online), &json!(is_online))
                );
                assert_eq!(text(&state["at"]), text(&state["lastSeen"]));
            }
        }
        "online-users" => {
            let mut ids: Vec<&str> = body.as_array().expect("a list").iter().map(text).collect();
            ids.sort_unstable();
            let mut expected = [one.id.as_str(), here.id.as_str()];
            expected.sort_unstable();
            assert_eq!(ids, expected);
        }
        name => panic!("{name}"),
    };
    for gateway in [first, second] {
        let mut mobile = one.listen(gateway, "flutter").await;
        let mut desktop = one.listen(gateway, "electron").await;
        let mut undeclared = one.listen(gateway, "none").await;
        let told = heard::<1>(&mut mobile).await;
        assert_eq!(told[0].0, "presence:initial");
        check(&told[0]);
        // The greeting comes first.
        desktop.expect("connected").await;
        let told = heard::<1>(&mut desktop).await;
        assert_eq!(told[0].0, "online-users");
        check(&told[0]);
        undeclared.expect("connected").await;
        heard::<2>(&mut undeclared).await.iter().for_each(check);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn short_interruption_is_not_heard_of() {
    let suite = suite(LONG, Duration::from_secs(3)).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let (one, other) = (Person::new(first).await, Person::new(second).await);
    let conversation = one.open(&other).await;
    let mut ear = listen(&one, first, "flutter").await;
    let phone = listen(&other, second, "flutter").await;
    hear_of(&mut ear, "flutter", &other.id, true).await;
    drop(phone);
    let _phone = listen(&other, first, "flutter").await;
    let gone = doc! { "leaves_at": { "$exists": true } };
    let sockets = database(&suite, "user").await.collection::<Document>("sockets");
    eventually("the first socket is forgotten", async || {
        sockets.count_documents(doc! {}).await.expect("a count") == 2
            && sockets.count_documents(gone.clone()).await.expect("a count") == 0
    })
    .await;
    assert!(is_online(&one, &other).await);
    other.send(&conversation, "still here").await;
    assert_eq!(heard::<1>(&mut ear).await[0].0, "message");
}

/// Waits until so many are counted: the count is of a moment ago.
async fn assert_counted(person: &Person, count: u64) {
    let path = "/api/users/online/count";
    eventually("counted", async || person.get(path).await["onlineCount"] == count).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_answer_who_is_online() {
    let suite = suite(LONG, SHORT).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let (one, other) = (Person::new(first).await, Person::new(second).await);
    let conversation = one.open(&other).await;
    assert_eq!(one.get("/api/users/presence").await["online"], json!([]));
    let count = one.get("/api/users/online/count").await["onlineCount"].as_u64();
    assert_eq!(count, Some(0), "a login makes nobody online");
    let mut ear = listen(&one, first, "flutter").await;
    let phone = listen(&other, second, "flutter").await;
    let since = hear_of(&mut ear, "flutter", &other.id, true).await;

    let id = other.id.as_str();
    let verbose = json!({ "online": true, "isOnline": true, "at": since, "lastSeen": since });
    let ids = one.get(&format!("/api/users/presence?ids={id}")).await;
    assert_eq!((&ids[id], &ids["presence"][id]), (&json!(true), &json!(true)));
    let ids = one.get(&format!("/presence?ids={id}&verbose=1")).await;
    assert_eq!(ids, json!({ id: verbose }));
    assert_eq!(one.get("/api/users/presence").await["online"], json!([id]));
    let all = one.get("/api/users/presence?verbose=true").await;
    assert_eq!(all["presence"], json!({ id: verbose }));
    let unified = one.get("/api/users/presence?clientType=unified").await;
    assert_eq!(unified["presence"][id], json!({ "isOnline": true, "lastSeenAt": since }));
    assert_counted(&one, 2).await;
    let profile = one.get(&format!("/api/users/profile/{id}")).await["user"].clone();
    assert_eq!((&profile["isOnline"], &profile["lastSeen"]), (&json!(true), &json!(since)));
    let found = one.get(&format!("/api/users/by-ids?ids={id},{}", one.id)).await;
    assert_eq!((&found[id]["online"], &found[id]["lastSeen"]), (&json!(true), &json!(since)));
    assert_eq!(found[&one.id]["isOnline"], true);
    assert_eq!(one.get("/api/auth/me").await["user"]["isOnline"], true);
    let path = format!("/api/conversations/{conversation}?clientType=electron");
    let card = one.get(&path).await["conversation"]["participants"].clone();
    let card = card.as_array().expect("cards").iter().find(|card| card["_id"] == id).cloned();
    assert_eq!(card.expect("the other")["isOnline"], true);

    drop(phone);
    let until = hear_of(&mut ear, "flutter", id, false).await;
    assert!(until > since);
    let ids = one.get(&format!("/api/users/presence?ids={id}&verbose=true")).await;
    assert_eq!(
        ids[id],
        json!({ "online": false, "isOnline": false, "at": until, "lastSeen": until })
    );
    assert_counted(&one, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn owner_says_who_sees_it_and_a_block_hides_both() {
    let suite = suite(LONG, SHORT).await;
    let [first, second] = [suite.gateways[0], suite.gateways[1]];
    let (one, other) = (Person::new(first).await, Person::new(second).await);
    let stranger = Person::new(first).await;
    one.open(&other).await;
    let mut ear = listen(&one, first, "flutter").await;
    let _phone = listen(&other, second, "flutter").await;
    hear_of(&mut ear, "flutter", &other.id, true).await;
    let created = one.get(&format!("/api/users/profile/{}", other.id)).await;
    assert_eq!(created["user"]["isOnline"], true);

    let path = "/api/users/me";
    let edit = async |privacy: &str| {
        let body = json!({ "lastSeenPrivacy": privacy });
        let user = other.ok(Method::PATCH, path, body).await["user"].clone();
        assert_eq!((&user["lastSeenPrivacy"], &user["isOnline"]), (&json!(privacy), &json!(true)));
        user
    };
    edit("contacts").await;
    assert!(is_online(&one, &other).await && !is_online(&stranger, &other).await);
    let own = edit("nobody").await;
    assert!(!is_online(&one, &other).await);
    // Presence and profiles have clocks of their own; shown to contacts, both are told once more.
    let (mut profile, mut hidden) = (Value::Null, Value::Null);
    while profile["lastSeen"] != own["createdAt"] || hidden["online"] != false {
        let [(name, body)] = heard(&mut ear).await;
        match name.as_str() {
            "presence" => hidden = body,
            "user_profile_updated" => profile = body["user"].clone(),
            name => panic!("{name}"),
        }
    }
    assert_eq!(hidden["at"], own["createdAt"], "as of somebody who was never there");
    let shown = one.get(&format!("/api/users/profile/{}", other.id)).await["user"].clone();
    assert_eq!((&shown["isOnline"], &shown["lastSeen"]), (&json!(false), &own["createdAt"]));
    assert_eq!(shown.get("lastSeenPrivacy"), None);
    edit("everyone").await;
    assert!(is_online(&stranger, &other).await);
    for wrong in [json!("friends"), json!(null), json!(1)] {
        let body = json!({ "lastSeenPrivacy": wrong });
        let (status, answer) = other.request(Method::PATCH, path, body).await;
        assert_eq!(
            (status, &answer["error"]),
            (StatusCode::BAD_REQUEST, &json!("validation_error"))
        );
    }
    let block = format!("/api/users/{}/block", other.id);
    one.ok(Method::PUT, &block, Value::Null).await;
    assert!(!is_online(&one, &other).await && !is_online(&other, &one).await);
    assert!(is_online(&stranger, &other).await);
    one.ok(Method::DELETE, &block, Value::Null).await;
    assert!(is_online(&one, &other).await && is_online(&other, &one).await);
}

/// A suite with a gateway beside it that reaches the user service through a proxy.
struct Scene {
    suite: TestSuite,
    proxy: Proxy,
    gateway: OwnGateway,
    one: Person,
    other: Person,
    conversation: String,
    ear: Receiver,
}

async fn scene(lease: Duration, grace: Duration) -> Scene {
    let suite = suite(lease, grace).await;
    let proxy = Proxy::new(&format!("http://{}", service(&suite, "user"))).await;
    let nats = &testing::servers().await.nats_url;
    let gateway = OwnGateway::start(&suite, nats, |config| {
        config.user = upstream(proxy.address);
        config.user.timeout = Duration::from_secs(1);
    })
    .await;
    let one = Person::new(suite.gateways[0]).await;
    let other = Person::new(suite.gateways[0]).await;
    let conversation = one.open(&other).await;
    let ear = listen(&one, suite.gateways[0], "flutter").await;
    Scene { suite, proxy, gateway, one, other, conversation, ear }
}

#[tokio::test(flavor = "multi_thread")]
async fn socket_works_without_the_user_service_and_presence_is_caught_up() {
    let mut scene = scene(LONG, SHORT).await;
    scene.proxy.close();
    let mut phone = scene.other.listen(scene.gateway.address, "none").await;
    phone.expect("connected").await;
    scene.one.send(&scene.conversation, "hello").await;
    phone.expect("receive-message").await;
    phone.expect("message").await;
    scene.ear.expect("message").await;
    // Somebody comes and goes meanwhile: of him, nobody is ever told.
    drop(scene.other.listen(scene.gateway.address, "unified").await);
    scene.proxy.open();
    let told = phone.expect("presence:initial").await;
    assert_eq!(told["users"][&scene.one.id]["online"], true);
    hear_of(&mut scene.ear, "flutter", &scene.other.id, true).await;
    drop(phone);
    hear_of(&mut scene.ear, "flutter", &scene.other.id, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_whose_lease_ran_out_registers_its_sockets_again() {
    let mut scene = scene(Duration::from_secs(3), SHORT).await;
    let phone = listen(&scene.other, scene.gateway.address, "flutter").await;
    hear_of(&mut scene.ear, "flutter", &scene.other.id, true).await;
    scene.proxy.close();
    hear_of(&mut scene.ear, "flutter", &scene.other.id, false).await;
    assert!(!is_online(&scene.one, &scene.other).await);
    scene.proxy.open();
    hear_of(&mut scene.ear, "flutter", &scene.other.id, true).await;
    drop(phone);
    hear_of(&mut scene.ear, "flutter", &scene.other.id, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn gateway_that_ends_takes_its_sockets_along_at_once() {
    let mut scene = scene(LONG, SHORT).await;
    let mut phone = listen(&scene.other, scene.gateway.address, "flutter").await;
    hear_of(&mut scene.ear, "flutter", &scene.other.id, true).await;
    scene.gateway.stop();
    assert_eq!(phone.next().await, Heard::End);
    // Long before the lease would run out.
    hear_of(&mut scene.ear, "flutter", &scene.other.id, false).await;
    scene.gateway.ended().await;
    assert!(!is_online(&scene.one, &scene.other).await);
    let _phone = listen(&scene.other, scene.suite.gateways[1], "flutter").await;
    hear_of(&mut scene.ear, "flutter", &scene.other.id, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_stays_is_online_while_those_who_went_cannot_be_unregistered() {
    const LEASE: Duration = Duration::from_secs(6);
    let mut scene = scene(LEASE, SHORT).await;
    let leaver = Person::new(scene.suite.gateways[0]).await;
    scene.one.open(&leaver).await;
    let _phone = listen(&scene.other, scene.gateway.address, "flutter").await;
    hear_of(&mut scene.ear, "flutter", &scene.other.id, true).await;
    let leaving = listen(&leaver, scene.gateway.address, "flutter").await;
    hear_of(&mut scene.ear, "flutter", &leaver.id, true).await;

    let users = database(&scene.suite, "user").await;
    let id: ObjectId = scene.other.id.parse().expect("an id");
    let sockets = users.collection::<Document>("sockets");
    let socket = sockets.find_one(doc! { "user_id": id }).await.expect("an answer");
    let socket = socket.expect("it is registered");
    let lease = socket.get_object_id("gateway_id").expect("a lease");
    let ends_at = async || {
        let held = users.collection::<Document>("gateways").find_one(doc! { "_id": lease }).await;
        let held = held.expect("an answer").expect("the lease");
        held.get_datetime("expires_at").expect("an instant").timestamp_millis()
    };
    // No socket can leave any more.
    let only = |validator: Document| doc! { "collMod": "sockets", "validator": validator };
    let stays = doc! { "leaves_at": { "$exists": false } };
    users.run_command(only(stays)).await.expect("changed");
    let end = ends_at().await;
    drop(leaving);
    let length = i64::try_from(LEASE.as_millis()).expect("short");
    eventually("the lease is renewed when it would have ended", async || {
        ends_at().await > end + length
    })
    .await;
    users.run_command(only(doc! {})).await.expect("changed");
    // Nothing was heard of anybody before.
    hear_of(&mut scene.ear, "flutter", &leaver.id, false).await;
    assert!(is_online(&scene.one, &scene.other).await);
}
