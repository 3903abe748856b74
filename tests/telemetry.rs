//! What a suite tells about itself: one trace from the client's act to the emission on another gateway,
//! and metrics that are what the documents say. All tests share one suite and one runtime, since a
//! process has one way to a collector and one listener of metrics.

mod collector;
mod metrics;

use std::{net::SocketAddr, sync::LazyLock};

use chat_e2e::{
    harness::{PATIENCE, Person, stored, text},
    socket::{self, Heard, Receiver, Sender},
};
use chat_kit::{
    config::{Metrics, Otlp, Telemetry},
    telemetry,
};
use chat_local::testing::{self, TestSuite};
use mongodb::bson::{DateTime, doc, oid::ObjectId};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::OnceCell};

use collector::{Collector, Span};

const SEND: &str = "chat.v1.MessageService/SendMessage";
const AUDIENCE: &str = "chat.v1.ConversationService/GetAudience";

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static SCENE: OnceCell<Scene> = OnceCell::const_new();

struct Scene {
    suite: TestSuite,
    collector: Collector,
    metrics: SocketAddr,
    _reporting: telemetry::Reporting,
}

/// A writer whose socket is at the first gateway, and a listening reader at the second.
struct Pair {
    writer: Person,
    reader: Person,
    conversation: String,
    sender: Sender,
    acknowledged: Receiver,
    listener: Receiver,
}

fn test(story: impl Future<Output = ()>) {
    RUNTIME.block_on(story);
}

async fn scene() -> &'static Scene {
    SCENE
        .get_or_init(async || {
            let (collector, address) = Collector::start().await;
            let endpoint = format!("http://{address}").parse().expect("an address");
            let config = Telemetry {
                filter: "error".to_owned(),
                otlp: Otlp { endpoint: Some(endpoint), ..Otlp::default() },
                metrics: Metrics { listen: Some(([127, 0, 0, 1], 0).into()) },
                ..Telemetry::default()
            };
            let reporting = telemetry::start("chat-story", &config).await.expect("telemetry");
            let metrics = reporting.metrics_address().expect("a listener");
            let suite = testing::suite(|_| {}).await;
            Scene { suite, collector, metrics, _reporting: reporting }
        })
        .await
}

impl Scene {
    async fn pair(&self) -> Pair {
        let gateways = &self.suite.gateways;
        let writer = Person::new(gateways[0]).await;
        let reader = Person::new(gateways[1]).await;
        let conversation = writer.open(&reader).await;
        let auth = json!({ "token": writer.token, "clientType": "unified" });
        let connected = socket::connect(gateways[0], &auth, PATIENCE).await;
        let (sender, acknowledged) = connected.expect("a connection");
        let listener = reader.listen(gateways[1], "unified").await;
        Pair { writer, reader, conversation, sender, acknowledged, listener }
    }

    /// The name of a gateway in spans.
    fn gateway(&self, index: usize) -> String {
        format!("gateway {}", self.suite.gateways[index])
    }

    /// Posts a message with headers; returns the id of the request.
    async fn post(&self, pair: &Pair, headers: &[(&str, &str)]) -> String {
        let url = format!("http://{}/api/messages", self.suite.gateways[0]);
        let body = json!({ "conversationId": pair.conversation, "content": "posted" });
        let mut request =
            reqwest::Client::new().post(url).bearer_auth(&pair.writer.token).json(&body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
        answer.headers()["x-request-id"].to_str().expect("text").to_owned()
    }

    /// Waits for the whole trace of a message that was posted.
    async fn posted(&self, request_id: &str) -> Vec<Span> {
        let names = ["POST /api/messages", SEND, AUDIENCE, "emit"];
        let is_its = |span: &Span| span.attributes["request_id"] == request_id;
        self.collector.trace(&names, is_its).await
    }
}

impl Pair {
    /// Sends on the socket and waits until the other one hears it.
    async fn send(&mut self, body: Value) {
        let mut body = body;
        body["conversationId"] = json!(self.conversation);
        self.sender.emit_with_ack(1, "message:send", &body.to_string()).await.expect("sent");
        loop {
            match self.acknowledged.next().await {
                // What its user posted.
                Heard::Event(_) => {}
                Heard::Ack(1, answer) => {
                    break assert!(answer.body().contains("true"), "{answer:?}");
                }
                other => panic!("{other:?} instead of an answer"),
            }
        }
        self.listener.expect("message:created").await;
    }
}

/// The span of this name.
fn one<'a>(trace: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<&Span> = trace.iter().filter(|span| span.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {trace:#?}");
    found[0]
}

#[test]
fn sent_on_a_socket_is_one_trace_up_to_the_emission_on_another_gateway() {
    test(async {
        let scene = scene().await;
        let mut pair = scene.pair().await;
        let content = "never told to a collector";
        pair.send(json!({ "content": content })).await;

        let names = ["socket message:send", SEND, AUDIENCE, "emit"];
        let conversation = pair.conversation.clone();
        let is_its = |span: &Span| span.attributes.get("conversation_id") == Some(&conversation);
        let trace = scene.collector.trace(&names, is_its).await;
        let begun = one(&trace, "socket message:send");
        assert_eq!((begun.parent_id.as_str(), begun.part()), ("", &*scene.gateway(0)));
        let sent = one(&trace, SEND);
        assert_eq!((&sent.parent_id, sent.part()), (&begun.id, "chat.v1.MessageService"));
        let asked = one(&trace, AUDIENCE);
        let part = "chat.v1.ConversationService";
        assert_eq!((&asked.parent_id, asked.part()), (&sent.id, part));
        // The writer's gateway has nothing to emit: the sending socket gets no echo of its own.
        let emitted: Vec<&Span> = trace.iter().filter(|span| span.name == "emit").collect();
        let elsewhere = emitted.iter().find(|span| span.part() == scene.gateway(1));
        let emitted = elsewhere.expect("an emission on the other gateway");
        assert_eq!(emitted.parent_id, sent.id);
        for span in &trace {
            assert_eq!(span.resource["service.name"], "chat-story");
            assert_eq!(span.attributes["request_id"], begun.attributes["request_id"]);
            let told = format!("{span:?}");
            for secret in [content, &pair.writer.phone, &pair.writer.token, &pair.reader.phone] {
                assert!(!told.contains(secret), "{secret} in {told}");
            }
        }
    });
}

#[test]
fn trace_of_a_client_goes_on_from_a_request_and_from_an_event() {
    const STATE: &str = "vendor=opaque";
    test(async {
        let scene = scene().await;
        let mut pair = scene.pair().await;
        // Whether it is kept is not the client's choice: `00` asks for the contrary.
        let trace_id = ObjectId::new().to_hex() + "00000001";
        let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-00");
        let headers = [("traceparent", traceparent.as_str()), ("tracestate", STATE)];
        let request_id = scene.post(&pair, &headers).await;
        let trace = scene.posted(&request_id).await;
        assert_eq!(one(&trace, "POST /api/messages").parent_id, "00f067aa0ba902b7");
        for span in &trace {
            assert_eq!((&span.trace_id, span.trace_state.as_str()), (&trace_id, STATE));
        }
        pair.listener.expect("message:created").await;

        let trace_id = ObjectId::new().to_hex() + "00000002";
        let traceparent = format!("00-{trace_id}-00f067aa0ba902b7-01");
        pair.send(json!({ "content": "traced", "traceparent": traceparent })).await;
        let is_its = |span: &Span| span.trace_id == trace_id;
        let names = ["socket message:send", SEND, "emit"];
        let trace = scene.collector.trace(&names, is_its).await;
        assert_eq!(one(&trace, "socket message:send").parent_id, "00f067aa0ba902b7");
    });
}

#[test]
fn malformed_trace_context_is_ignored() {
    test(async {
        let scene = scene().await;
        let mut pair = scene.pair().await;
        for traceparent in ["nonsense", "00-1-1-01", "00-00000000000000000000000000000000-1-01"] {
            let headers = [("traceparent", traceparent), ("tracestate", "vendor=opaque")];
            let trace = scene.posted(&scene.post(&pair, &headers).await).await;
            let begun = one(&trace, "POST /api/messages");
            assert_eq!((begun.parent_id.as_str(), begun.trace_state.as_str()), ("", ""));
            pair.listener.expect("message:created").await;
        }
        for traceparent in [json!("nonsense"), json!(7), json!({}), json!(null)] {
            pair.send(json!({ "content": "sent", "traceparent": traceparent })).await;
        }
    });
}

#[test]
fn what_the_relay_announces_is_a_trace_up_to_the_emission() {
    test(async {
        let scene = scene().await;
        let mut pair = scene.pair().await;
        pair.send(json!({ "content": "1" })).await;
        // Stored as by a replica that died before it announced.
        let id = ObjectId::new();
        let now = DateTime::now();
        let long_ago = DateTime::from_millis(now.timestamp_millis() - 60_000);
        let entry =
            doc! { "event_id": format!("{id}:created:0"), "kind": "created", "at": long_ago };
        let object_id = |id: &str| ObjectId::parse_str(id).expect("an id");
        let left = doc! {
            "_id": id, "conversation_id": object_id(&pair.conversation), "seq": 2_i64,
            "sender_id": object_id(&pair.writer.id), "content": "2", "type": "text",
            "created_at": now, "previous_created_at": now, "outbox": [entry],
        };
        let uri = &testing::servers().await.mongodb_uri;
        let messages = stored(uri, &scene.suite, "message", "messages").await;
        messages.insert_one(left).await.expect("stored");
        assert_eq!(text(&pair.listener.expect("message:created").await["content"]), "2");

        let is_its = |span: &Span| {
            span.name == "relay" && span.attributes.get("message_id") == Some(&id.to_hex())
        };
        let trace = scene.collector.trace(&["relay", AUDIENCE, "emit"], is_its).await;
        let relayed = one(&trace, "relay");
        assert_eq!((relayed.parent_id.as_str(), relayed.part()), ("", "chat.v1.MessageService"));
        let emitted = trace.iter().find(|span| span.name == "emit").expect("an emission");
        assert_eq!(emitted.parent_id, relayed.id);
    });
}

#[test]
fn metrics_are_those_that_the_documents_list() {
    test(async {
        let scene = scene().await;
        let mut pair = scene.pair().await;
        pair.send(json!({ "content": "measured" })).await;
        scene.post(&pair, &[]).await;
        pair.listener.expect("message:created").await;
        let (status, _) = pair.writer.request(Method::GET, "/api/guess/4711", Value::Null).await;
        assert_eq!(status, 404);

        let url = format!("http://{}/metrics", scene.metrics);
        let answer = reqwest::get(&url).await.expect("an answer");
        let kind = answer.headers()["content-type"].to_str().expect("text").to_owned();
        assert!(kind.starts_with("text/plain; version=0.0.4"), "{kind}");
        let dump = answer.text().await.expect("text");
        let served = metrics::parse(&dump);
        let documents = include_str!("../docs/operations.md");
        assert_eq!(served.families, metrics::documented(documents));

        let http = "chat_http_request_duration_seconds_count";
        let event = "chat_socket_event_duration_seconds_count";
        let grpc = "chat_grpc_request_duration_seconds_count";
        for (name, labels, least) in [
            (http, r#"route="/api/messages",method="POST",status="200""#, 1.0),
            (http, r#"route="unmatched",method="GET",status="404""#, 1.0),
            (event, r#"event="connect",outcome="ok""#, 2.0),
            (event, r#"event="message:send",outcome="ok""#, 1.0),
            (grpc, r#"service="chat.v1.MessageService",method="SendMessage",code="OK""#, 2.0),
            ("chat_nats_publishes_total", r#"outcome="stored""#, 2.0),
            ("chat_sockets_connected", "", 2.0),
            ("chat_socket_frames_emitted_total", "", 2.0),
            ("chat_fanout_lag_seconds_count", "", 2.0),
            ("chat_fanout_windows_held", "", 1.0),
            ("chat_mongodb_up", r#"service="chat.v1.MessageService""#, 1.0),
            ("chat_nats_up", r#"client="chat-gateway""#, 1.0),
            ("process_open_fds", "", 10.0),
        ] {
            let series =
                if labels.is_empty() { name.into() } else { format!("{name}{{{labels}}}") };
            let value = served.samples.get(&series).unwrap_or_else(|| panic!("{series} in {dump}"));
            assert!(*value >= least, "{series} {value}");
        }
        for never in ["4711", &pair.writer.id, &pair.writer.phone, &pair.conversation] {
            assert!(!dump.contains(never), "{never} in {dump}");
        }
        for path in ["", "/", "/metrics/", "/health"] {
            let url = format!("http://{}{path}", scene.metrics);
            assert_eq!(reqwest::get(url).await.expect("an answer").status(), 404, "{path}");
        }
        let posted = reqwest::Client::new().post(url).send().await.expect("an answer");
        assert_eq!(posted.status(), 405);
    });
}
