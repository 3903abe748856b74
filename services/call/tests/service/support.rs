//! Two replicas of the real call service on free ports, with the conversation and the user service, each
//! service with a database of its own.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_call::{Calls, Config, Ice, Limits, Service};
use chat_kit::{
    caller::{Caller, new_request_id},
    client::{Channel, channel},
    config::{Grpc, Mongo, Nats, Secret, Stop, Telemetry, Upstream},
    error,
    id::UserId,
    mongo, server,
    shutdown::Lifecycle,
};
use chat_proto::v1::{
    AddCandidateRequest, AnswerCallRequest, AttachSocketRequest, AttachSocketResponse, Call,
    CallKind, CallSocket, DeclineCallRequest, DetachSocketRequest, EndCallRequest,
    OpenDirectConversationRequest, PlaceCallRequest, RenewCallsRequest, UpsertProfileRequest,
    call_service_client::CallServiceClient, conversation_service_client::ConversationServiceClient,
    open_direct_conversation_request::Peer, user_service_client::UserServiceClient,
};
use mongodb::{
    Collection, Database,
    event::{EventHandler, command::CommandEvent},
};
use tokio::net::TcpListener;
use tonic::{Code, Request, Status};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub const OFFER: &str = r#"{"type":"offer","sdp":"v=0"}"#;
pub const ANSWER: &str = r#"{"type":"answer","sdp":"v=0"}"#;

/// The running services.
pub struct Suite {
    /// Both replicas.
    pub calls: [CallServiceClient<Channel>; 2],
    pub conversations: ConversationServiceClient<Channel>,
    pub database: Database,
    /// What the replicas have sent to MongoDB.
    pub commands: Arc<Mutex<Vec<Document>>>,
    config: Config,
    users: UserServiceClient<Channel>,
    /// The life of each replica.
    pub replicas: [Lifecycle; 2],
    /// The life of the conversation service.
    pub conversation_life: Lifecycle,
    life: Lifecycle,
}

impl Drop for Suite {
    fn drop(&mut self) {
        let lives = self.replicas.iter().chain([&self.conversation_life, &self.life]);
        lives.for_each(Lifecycle::stop);
    }
}

/// What a test may want to be different.
pub struct Options {
    pub calls: Calls,
    pub limits: Limits,
    pub ice: Ice,
    /// Where MongoDB is, for the call service alone.
    pub mongodb_uri: String,
}

/// Starts the services.
pub async fn start() -> Suite {
    start_with(|_| ()).await
}

/// Starts the services with what a test wants to be different. Calls are not limited by number unless it
/// does.
pub async fn start_with(change: impl FnOnce(&mut Options)) -> Suite {
    let mut options = Options {
        calls: Calls::default(),
        limits: chat_local::suite::development_call_limits(),
        ice: Ice::default(),
        mongodb_uri: chat_local::testing::servers().await.mongodb_uri.clone(),
    };
    change(&mut options);
    let (life, conversation_life) = (Lifecycle::new(), Lifecycle::new());
    let (user_listener, user) = bind().await;
    let (conversation_listener, conversation) = bind().await;
    start_user(user_listener, conversation.clone(), &life).await;
    start_conversation(conversation_listener, user.clone(), &conversation_life).await;
    let config = Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: Mongo { uri: Secret::new(&options.mongodb_uri), ..mongo_config("call").await },
        nats: nats().await,
        conversation: conversation.clone(),
        user: user.clone(),
        telemetry: Telemetry::default(),
        call: options.calls,
        limits: options.limits,
        ice: options.ice,
    };
    let commands = Arc::new(Mutex::new(Vec::new()));
    let replicas = [Lifecycle::new(), Lifecycle::new()];
    let first = replica(&config, &commands, &replicas[0]).await;
    let second = replica(&config, &commands, &replicas[1]).await;
    Suite {
        calls: [first, second],
        conversations: ConversationServiceClient::new(channel(&conversation)),
        users: UserServiceClient::new(channel(&user)),
        database: mongo::connect(&config.mongo, "test", None).await.expect("mongodb answers"),
        commands,
        config,
        replicas,
        conversation_life,
        life,
    }
}

async fn replica(
    config: &Config,
    commands: &Arc<Mutex<Vec<Document>>>,
    life: &Lifecycle,
) -> CallServiceClient<Channel> {
    let seen = Arc::clone(commands);
    let observer = EventHandler::callback(move |event| {
        if let CommandEvent::Started(started) = event {
            seen.lock().expect("not poisoned").push(started.command);
        }
    });
    let service = Service::connect(config, life, Some(observer)).await.expect("connected");
    let (listener, upstream) = bind().await;
    let (config, serving) = (config.clone(), life.clone());
    life.spawn("call", async move { service.serve(listener, &config, &serving).await });
    CallServiceClient::new(channel(&upstream))
}

async fn start_user(listener: TcpListener, conversation: Upstream, life: &Lifecycle) {
    let config = chat_user::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("user").await,
        nats: nats().await,
        conversation,
        telemetry: Telemetry::default(),
        presence: chat_user::Presence::default(),
        limits: chat_user::Limits::default(),
    };
    let service = chat_user::Service::connect(&config, life, None).await.expect("connected");
    let serving = life.clone();
    life.spawn("user", async move { service.serve(listener, &config, &serving).await });
}

async fn start_conversation(listener: TcpListener, user: Upstream, life: &Lifecycle) {
    let config = chat_conversation::Config {
        grpc: Grpc::default(),
        stop: Stop::default(),
        mongo: mongo_config("conversation").await,
        nats: nats().await,
        user,
        // Nothing is noted here.
        message: Upstream::new("http://127.0.0.1:1".parse().expect("an address")),
        invite: chat_local::testing::invite(),
        telemetry: Telemetry::default(),
        limits: chat_conversation::Limits::default(),
    };
    let service =
        chat_conversation::Service::connect(&config, life, None).await.expect("connected");
    let serving = life.clone();
    life.spawn("conversation", async move { service.serve(listener, &config, &serving).await });
}

pub async fn nats() -> Nats {
    Nats::new(&chat_local::testing::servers().await.nats_url)
}

async fn mongo_config(name: &str) -> Mongo {
    Mongo {
        uri: Secret::new(&chat_local::testing::servers().await.mongodb_uri),
        database: Some(format!("{name}-{}", ObjectId::new())),
    }
}

async fn bind() -> (TcpListener, Upstream) {
    let listener = server::bind(([127, 0, 0, 1], 0).into()).await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let url = format!("http://{address}").parse().expect("an address");
    (listener, Upstream::new(url))
}

/// A device of a user: a socket of a session.
#[derive(Clone, Debug)]
pub struct Device {
    pub user: UserId,
    pub session: Option<String>,
    pub socket: String,
}

impl Device {
    /// A device of a user, with a session of its own.
    pub fn of(user: UserId) -> Self {
        Self { user, session: Some(new_request_id()), socket: ObjectId::new().to_hex() }
    }

    /// The next socket of the same session.
    pub fn again(&self) -> Self {
        Self { socket: ObjectId::new().to_hex(), ..self.clone() }
    }

    /// Wraps a message as the gateway does.
    pub fn request<T>(&self, message: T) -> Request<T> {
        Caller::user(self.user, self.session.clone(), "request-1").request(message)
    }
}

impl Suite {
    /// Makes a user.
    pub async fn user(&self) -> UserId {
        let id = UserId::new();
        let bytes = id.0.bytes();
        let digits = bytes.iter().map(|byte| format!("{byte:03}"));
        let phone = digits.fold("+".to_owned(), |phone, digits| phone + &digits);
        let request = UpsertProfileRequest { user_id: id.to_string(), phone, name: None };
        let request = Caller::service("test", "request-1").request(request);
        self.users.clone().upsert_profile(request).await.expect("a profile");
        id
    }

    /// Makes a device of a new user.
    pub async fn device(&self) -> Device {
        Device::of(self.user().await)
    }

    /// Opens the direct conversation of two users; returns its id.
    pub async fn connect(&self, one: &Device, other: &Device) -> String {
        let peer = Some(Peer::UserId(other.user.to_string()));
        let request = one.request(OpenDirectConversationRequest { peer });
        let opened = self.conversations.clone().open_direct_conversation(request).await;
        opened.expect("opened").into_inner().conversation.expect("a conversation").id
    }

    /// Makes devices of two new users who may ring each other.
    pub async fn pair(&self) -> (Device, Device) {
        let (ada, grace) = (self.device().await, self.device().await);
        self.connect(&ada, &grace).await;
        (ada, grace)
    }

    /// Rings somebody by way of a replica.
    pub async fn ring(&self, replica: usize, by: &Device, to: &Device) -> Result<Call, Status> {
        self.ring_with(replica, by, to, |_| ()).await
    }

    /// The same with another request.
    pub async fn ring_with(
        &self,
        replica: usize,
        by: &Device,
        to: &Device,
        change: impl FnOnce(&mut PlaceCallRequest),
    ) -> Result<Call, Status> {
        let mut request = PlaceCallRequest {
            callee_id: to.user.to_string(),
            sdp: OFFER.to_owned(),
            kind: CallKind::Video.into(),
            socket_id: by.socket.clone(),
        };
        change(&mut request);
        let answer = self.calls[replica].clone().place_call(by.request(request)).await?;
        Ok(answer.into_inner().call.expect("a call"))
    }

    /// Answers a call by way of a replica.
    pub async fn answer(&self, replica: usize, by: &Device, id: &str) -> Result<Call, Status> {
        let request = AnswerCallRequest {
            call_id: id.to_owned(),
            sdp: ANSWER.to_owned(),
            socket_id: by.socket.clone(),
        };
        let answer = self.calls[replica].clone().answer_call(by.request(request)).await?;
        Ok(answer.into_inner().call.expect("a call"))
    }

    /// Declines a call.
    pub async fn decline(&self, by: &Device, id: &str) -> Result<Call, Status> {
        let request = by.request(DeclineCallRequest { call_id: id.to_owned() });
        let answer = self.calls[1].clone().decline_call(request).await?;
        Ok(answer.into_inner().call.expect("a call"))
    }

    /// Hangs up as a client does that has no screens to forget.
    pub async fn hang_up(&self, by: &Device, id: &str) -> Result<Call, Status> {
        self.hang_up_as(by, id, false).await
    }

    /// Hangs up.
    pub async fn hang_up_as(
        &self,
        by: &Device,
        id: &str,
        may_be_held: bool,
    ) -> Result<Call, Status> {
        let (call_id, socket_id) = (id.to_owned(), by.socket.clone());
        let request = by.request(EndCallRequest { call_id, socket_id, may_be_held });
        let answer = self.calls[1].clone().end_call(request).await?;
        Ok(answer.into_inner().call.expect("a call"))
    }

    /// Adds a candidate.
    pub async fn add(&self, by: &Device, id: &str, candidate: &str) -> Result<(), Status> {
        let request = by.request(AddCandidateRequest {
            call_id: id.to_owned(),
            candidate: candidate.to_owned(),
            socket_id: by.socket.clone(),
        });
        self.calls[0].clone().add_candidate(request).await.map(drop)
    }

    /// Says that a device's socket has come; returns the id of the call that needs it.
    pub async fn attach(&self, device: &Device) -> Option<String> {
        self.attach_by(0, device, false).await.call.map(|call| call.id)
    }

    /// The same by way of a replica; returns all that it answers.
    pub async fn attach_by(
        &self,
        replica: usize,
        device: &Device,
        may_repeat: bool,
    ) -> AttachSocketResponse {
        let socket_id = device.socket.clone();
        let request = device.request(AttachSocketRequest { socket_id, may_repeat });
        let answer = self.calls[replica].clone().attach_socket(request).await;
        answer.expect("attached").into_inner()
    }

    /// Says that a device's socket has gone.
    pub async fn detach(&self, device: &Device) {
        self.detach_unheard(device, 0).await;
    }

    /// Says so of one that has certainly heard nothing for some milliseconds.
    pub async fn detach_unheard(&self, device: &Device, unheard_millis: u32) {
        let socket_id = device.socket.clone();
        let request = device.request(DetachSocketRequest { socket_id, unheard_millis });
        self.calls[1].clone().detach_socket(request).await.expect("detached");
    }

    /// Renews sockets as their gateway does; returns those that need it no more.
    pub async fn renew(&self, sockets: &[(&str, &Device)]) -> Vec<CallSocket> {
        self.try_to_renew(sockets).await.expect("renewed")
    }

    /// Tries to.
    pub async fn try_to_renew(
        &self,
        sockets: &[(&str, &Device)],
    ) -> Result<Vec<CallSocket>, Status> {
        let sockets = sockets.iter().map(|(id, device)| CallSocket {
            call_id: (*id).to_owned(),
            socket_id: device.socket.clone(),
        });
        let request = RenewCallsRequest { gateway_id: "g".to_owned(), sockets: sockets.collect() };
        let request = Caller::service("gateway", "request-1").request(request);
        Ok(self.calls[1].clone().renew_calls(request).await?.into_inner().released)
    }

    /// A call that was answered.
    pub async fn answered(&self, by: &Device, to: &Device) -> String {
        let id = self.ring(0, by, to).await.expect("it rings").id;
        self.answer(1, to, &id).await.expect("answered");
        id
    }

    /// Ends both replicas.
    pub async fn stop_replicas(&self) {
        for replica in &self.replicas {
            replica.stop();
            replica.ended(PATIENCE).await.expect("ended");
        }
    }

    /// Starts both replicas again.
    pub async fn start_replicas(&mut self) {
        for place in 0..2 {
            self.replicas[place] = Lifecycle::new();
            self.calls[place] = replica(&self.config, &self.commands, &self.replicas[place]).await;
        }
    }

    /// Returns the collection as it is stored.
    pub fn stored(&self) -> Collection<Document> {
        self.database.collection("calls")
    }

    /// Returns the collection that says when a replica looked last.
    pub fn pulse(&self) -> Collection<Document> {
        self.database.collection("pulse")
    }

    /// Says whether a replica has looked after a time, and has made up for all interruptions.
    pub async fn has_looked_since(&self, time: DateTime) -> bool {
        let found = self.pulse().find_one(doc! {}).await.expect("an answer");
        let looked = |pulse: Document| {
            let at = pulse.get_datetime("at").expect("a time");
            *at > time && !pulse.contains_key("resumed_at")
        };
        found.is_some_and(looked)
    }

    /// Returns a call as it is stored.
    pub async fn document(&self, id: &str) -> Document {
        let found = self.stored().find_one(doc! { "_id": id }).await.expect("an answer");
        found.expect("a document")
    }

    /// Changes a call behind the service's back.
    pub async fn alter(&self, id: &str, change: Document) {
        let altered = self.stored().update_one(doc! { "_id": id }, change).await;
        assert_eq!(altered.expect("an answer").matched_count, 1);
    }
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let waiting = async {
        while !is_so().await {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    waited.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// Asserts code and reason of a failure; returns its message.
#[track_caller]
pub fn assert_failed<T: std::fmt::Debug>(
    answer: Result<T, Status>,
    code: Code,
    reason: &str,
) -> String {
    let status = answer.expect_err("a failure");
    let found = (status.code(), error::reason(&status));
    assert_eq!(found, (code, Some(reason.to_owned())), "{status}");
    status.message().to_owned()
}
