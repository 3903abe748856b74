//! Every query of the suite goes by an index, as MongoDB says of what the services have sent on a tour
//! through everything they do.

use std::collections::BTreeSet;

use chat_e2e::harness::{eventually, text};
use chat_kit::{caller::Caller, id::UserId};
use chat_local::testing::{self, TestSuite};
use chat_proto::v1::{
    self as pb, conversation_service_client::ConversationServiceClient,
    message_service_client::MessageServiceClient, user_service_client::UserServiceClient,
};
use mongodb::bson::{DateTime, doc, oid::ObjectId};
use prost::Message as _;
use prost_types::FileDescriptorSet;
use reqwest::Method;
use serde_json::{Value, json};
use tonic::transport::{Channel, Endpoint};

use crate::{
    meter::Meter,
    profile,
    sockets::{self, Lines},
    test, tour,
    world::{Databases, LARGE, WORD, World},
};

/// Looks at sessions of sockets this often are frequent enough to be seen.
const CHECKS: std::time::Duration = std::time::Duration::from_millis(500);
/// How the old backends stored the password `correct horse`.
const OLD_HASH: &str = "$2b$10$abcdefghijklmnopqrstuu23JPZtHcGhwXSF41f93o/7vBdDut3Xu";

async fn channel(suite: &TestSuite, service: &str) -> Channel {
    let (_, address) = suite.services.iter().find(|(name, _)| *name == service).expect("a service");
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect().await.expect("a connection")
}

/// Makes the calls that only failures of other parts bring about.
async fn call(suite: &TestSuite, world: &World, message: &Value) {
    let caller = Caller::service("message", "request-1");
    let preview = pb::Preview {
        message_id: text(&message["_id"]).to_owned(),
        seq: 1,
        sender_id: world.caller.id.clone(),
        content: WORD.to_owned(),
        r#type: "text".to_owned(),
        created_at: Some(chat_kit::time::to_timestamp(DateTime::now())),
        ..Default::default()
    };
    let conversation_id = world.group.clone();
    let activity = pb::RecordActivityRequest { conversation_id, preview: Some(preview) };
    let mut conversations = ConversationServiceClient::new(channel(suite, "conversation").await);
    let member: UserId = world.caller.id.parse().expect("an id");
    let by_member = Caller::user(member, None, "request-1");
    conversations.record_activity(by_member.request(activity)).await.expect("recorded");
    let mut messages = MessageServiceClient::new(channel(suite, "message").await);
    let mut users = UserServiceClient::new(channel(suite, "user").await);
    let (user_id, other_id) = (world.caller.id.clone(), world.peer.id.clone());
    let restated = pb::RestatePresenceRequest { user_id, other_id };
    users.restate_presence(caller.request(restated)).await.expect("restated");
    for unannounced in [false, true] {
        let conversation_id = world.group.clone();
        let after = pb::ListAfterRequest { conversation_id, after_seq: 0, limit: 100, unannounced };
        messages.list_after(caller.request(after)).await.expect("listed");
    }
}

/// Leaves changes behind as a process does that dies before it announces them.
async fn leave_behind(databases: &Databases, world: &World, message: &Value) {
    let at = DateTime::from_millis(DateTime::now().timestamp_millis() - 60_000);
    let id: ObjectId = text(&message["_id"]).parse().expect("an id");
    let entry = doc! { "event_id": format!("{id}:created:0"), "kind": "created", "at": at };
    let messages = databases.collection("message", "messages");
    let pushed = doc! { "$push": { "outbox": entry } };
    messages.update_one(doc! { "_id": id }, pushed).await.expect("left behind");
    let group: ObjectId = world.group.parse().expect("an id");
    let reader: ObjectId = world.caller.id.parse().expect("an id");
    let moves = ["read", "delivered"].map(|cursor| {
        doc! {
            "_id": ObjectId::new(), "cursor": cursor, "after": 0_i64, "to": 1_i64, "to_at": at,
            "moved_at": at, "at": at,
        }
    });
    let receipts = databases.collection("message", "receipts");
    let own = doc! { "conversation_id": group, "user_id": reader };
    let pushed = doc! { "$push": { "outbox": { "$each": moves.to_vec() } } };
    let left = receipts.update_one(own, pushed).await.expect("left behind");
    assert_eq!(left.matched_count, 1);
    let user: ObjectId = world.peer.id.parse().expect("an id");
    let entry = doc! { "_id": ObjectId::new(), "at": at, "change": {} };
    let users = databases.collection("user", "users");
    let pushed = doc! { "$push": { "outbox": entry } };
    users.update_one(doc! { "_id": user }, pushed).await.expect("left behind");
}

/// Leaves a socket behind as a gateway does that dies, and waits until it is swept away.
async fn leave_socket(databases: &Databases, world: &World) {
    let [gateway, socket] = [ObjectId::new(), ObjectId::new()];
    let user: ObjectId = world.stranger().id.parse().expect("an id");
    let sockets = databases.collection("user", "sockets");
    let held = doc! { "_id": socket, "user_id": user, "gateway_id": gateway };
    sockets.insert_one(held).await.expect("left behind");
    let ended = DateTime::from_millis(DateTime::now().timestamp_millis() - 1000);
    let lease = doc! { "_id": gateway, "is_over": false, "expires_at": ended };
    databases.collection("user", "gateways").insert_one(lease).await.expect("left behind");
    eventually("the socket is swept away", async || {
        sockets.find_one(doc! { "_id": socket }).await.expect("an answer").is_none()
    })
    .await;
}

/// Logs somebody in whose password the old backends have stored, which is stored anew then.
async fn log_in_as_before(databases: &Databases, world: &World) {
    let stranger = world.stranger();
    let id: ObjectId = stranger.id.parse().expect("an id");
    let old = doc! { "$set": { "password_hash": OLD_HASH } };
    let accounts = databases.collection("auth", "credentials");
    accounts.update_one(doc! { "_id": id }, old).await.expect("stored");
    let given = |password: &str| json!({ "name": stranger.phone, "password": password });
    let wrong = given("wrong horse");
    let (status, _) = stranger.request(Method::POST, "/api/auth/login", wrong).await;
    assert_eq!(status, 401);
    stranger.ok(Method::POST, "/api/auth/login", given("correct horse")).await;
}

/// Has the socket of a call go, and another take its place; both parties go in the end.
async fn lose_sockets(suite: &TestSuite, world: &World, meter: &Meter) {
    let mut lines = Lines::open(suite, world).await;
    // Where an old client has rung is noted.
    let _old = world.peer.listen(suite.gateways[1], "flutter").await;
    lines.make_all(&sockets::rings_and_is_taken(world)).await;
    called(meter, "CallService/NoteRung").await;
    called(meter, "CallService/RenewCalls").await;
    lines.reconnect(world).await;
    called(meter, "CallService/DetachSocket").await;
    drop(lines);
    called(meter, "UserService/UnregisterSockets").await;
}

/// Waits until a method has been called.
async fn called(meter: &Meter, method: &str) {
    eventually(method, async || meter.calls().await.contains_key(method)).await;
}

/// Returns those of the contract's methods that were never called.
async fn never_called(meter: &Meter) -> Vec<String> {
    let called: BTreeSet<String> = meter.calls().await.into_keys().collect();
    let files = FileDescriptorSet::decode(chat_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let services = files.file.iter().flat_map(|file| &file.service);
    let methods = services.flat_map(|service| {
        let methods = service.method.iter();
        methods.map(|method| format!("{}/{}", service.name(), method.name()))
    });
    methods.filter(|method| !called.contains(method)).collect()
}

#[test]
fn every_query_goes_by_an_index_without_sorting() {
    test(async |metrics| {
        let meter = Meter::new(metrics);
        let suite = testing::suite(|options| {
            options.observer = Some(meter.observer());
            options.session_checks = CHECKS;
        })
        .await;
        let databases = Databases::of(&suite).await;
        let world = World::fill(&suite, &databases, LARGE).await;
        profile::begin(&databases).await;
        let mut lines = Lines::open(&suite, &world).await;
        for (method, path) in tour::all() {
            for asked in tour::requests(&world, &method, path).await {
                asked.make().await;
            }
        }
        lines.make_all(&sockets::all(&world).await).await;
        lose_sockets(&suite, &world, &meter).await;
        leave_socket(&databases, &world).await;
        let message = world.caller.send(&world.group, WORD).await;
        call(&suite, &world, &message).await;
        log_in_as_before(&databases, &world).await;
        meter.mark(&databases).await;
        leave_behind(&databases, &world, &message).await;
        meter.mark(&databases).await;
        let counted =
            doc! { "command.aggregate": "messages", "planSummary": { "$regex": "outbox" } };
        profile::until_sent(&databases, "message", counted).await;

        let runs = profile::end(&databases).await;
        let mut faults: BTreeSet<String> = runs.iter().filter_map(profile::Run::fault).collect();
        let mut shapes = BTreeSet::new();
        for (service, command) in runs.iter().filter_map(profile::Run::with_inner_pipelines) {
            // Those of one shape differ in what they ask for.
            let shape = command.to_string().replace(|letter: char| letter.is_ascii_hexdigit(), "");
            if shapes.insert((service, shape)) {
                faults.extend(profile::inner_fault(&databases, service, &command).await);
            }
        }
        let with = |stage: &str| shapes.iter().any(|(_, shape)| shape.contains(stage));
        assert!(with("$lookup") && with("$unionWith"), "lists and searches have inner pipelines");
        let faults: Vec<String> = faults.into_iter().collect();
        assert!(faults.is_empty(), "{} of {}:\n{}", faults.len(), runs.len(), faults.join("\n"));
        assert_eq!(profile::unused(&databases, &runs).await, [""; 0], "nothing has gone by these");
        assert_eq!(never_called(&meter).await, [""; 0], "the tour leaves these out");
    });
}
