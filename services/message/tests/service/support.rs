//! Starts the services for a test, and speaks with them as the gateway does.

use std::{
    sync::{Arc, atomic::AtomicUsize},
    time::Duration,
};

use async_nats::Subscriber;
use bson::{DateTime, Document, doc, oid::ObjectId};
use chat_kit::{
    caller::Caller,
    client::{Channel, channel},
    config::Nats,
    error,
    id::{ConversationId, MessageId, UserId},
    mongo, nats,
};
use chat_local::testing;
use chat_message::{
    config::Limits,
    store::messages::{Kind, Message},
};
use chat_proto::{
    subject,
    v1::{
        self as pb, Event, OpenDirectConversationRequest, SendMessageRequest, SendMessageResponse,
        UpsertProfileRequest, conversation_service_client::ConversationServiceClient,
        event::Payload, message_service_client::MessageServiceClient,
        open_direct_conversation_request::Peer, send_message_request::Target,
        user_service_client::UserServiceClient,
    },
};
use futures_util::StreamExt as _;
use mongodb::{Collection, Database};
use prost::Message as _;
use tokio::net::TcpListener;
use tonic::{Code, Request, Status};

use crate::services::{self, Services};

/// How long anything may take to happen.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// The running services, and clients of theirs.
pub struct Suite {
    /// One client per replica of the message service.
    pub replicas: Vec<MessageServiceClient<Channel>>,
    pub conversations: ConversationServiceClient<Channel>,
    users: UserServiceClient<Channel>,
    own: Database,
    conversation: Database,
    // They end with it.
    services: Services,
}

/// Two users and the conversation between them.
pub struct Pair {
    pub ada: UserId,
    pub grace: UserId,
    pub conversation: ConversationId,
}

/// Starts the services, with one replica of each.
pub async fn start() -> Suite {
    suite(services::start(1).await).await
}

/// Starts the services, with two replicas of the message service.
pub async fn start_two() -> Suite {
    suite(services::start(2).await).await
}

/// Starts the services; the message service has a NATS of its own.
pub async fn start_on(nats_url: &str, limits: Limits) -> Suite {
    suite(services::start_on(nats_url, 1, limits).await).await
}

/// Starts the message service alone: those that it asks are not there.
pub async fn start_alone() -> Suite {
    suite(services::start_alone().await).await
}

/// Starts the message service alone; the one that it asks never says a word, for as long as what comes
/// with the suite lives.
pub async fn start_unheard(limits: Limits) -> (Suite, TcpListener) {
    let (services, silent) = services::start_unheard(limits).await;
    (suite(services).await, silent)
}

/// Starts the services, with previews that take longer than an answer waits for them; returns the count
/// of those that were not given up.
pub async fn start_slow_list(limits: Limits) -> (Suite, Arc<AtomicUsize>) {
    let (services, handed_on) = services::start_slow_list(limits).await;
    (suite(services).await, handed_on)
}

async fn suite(services: Services) -> Suite {
    let database = async |config| mongo::connect(config, "test", None).await;
    let replicas = services.messages.iter().map(channel).map(MessageServiceClient::new).collect();
    Suite {
        replicas,
        conversations: ConversationServiceClient::new(channel(&services.conversation)),
        users: UserServiceClient::new(channel(&services.user)),
        own: database(&services.message_database).await.expect("mongodb answers"),
        conversation: database(&services.conversation_database).await.expect("mongodb answers"),
        services,
    }
}

impl Suite {
    /// A client of the message service.
    pub fn messages(&self) -> MessageServiceClient<Channel> {
        self.replicas[0].clone()
    }

    /// Makes a user with a random phone; returns both.
    pub async fn user(&self) -> (UserId, String) {
        let (id, phone) = (UserId::new(), phone());
        let request =
            UpsertProfileRequest { user_id: id.to_string(), phone: phone.clone(), name: None };
        let mut users = self.users.clone();
        users.upsert_profile(as_service(request)).await.expect("a profile");
        (id, phone)
    }

    /// Opens the conversation of two users.
    pub async fn open(&self, one: UserId, other: UserId) -> ConversationId {
        let peer = Some(Peer::UserId(other.to_string()));
        let request = as_user(one, OpenDirectConversationRequest { peer });
        let opened = self.conversations.clone().open_direct_conversation(request).await;
        let conversation = opened.expect("opened").into_inner().conversation;
        conversation.expect("a conversation").id.parse().expect("an id")
    }

    /// Opens a conversation of two new users.
    pub async fn pair(&self) -> Pair {
        let (ada, grace) = (self.user().await.0, self.user().await.0);
        Pair { ada, grace, conversation: self.open(ada, grace).await }
    }

    /// Sends a message.
    pub async fn send(
        &self,
        sender: UserId,
        request: SendMessageRequest,
    ) -> Result<SendMessageResponse, Status> {
        Ok(self.messages().send_message(as_user(sender, request)).await?.into_inner())
    }

    /// Sends a text that must be stored now; returns the message.
    pub async fn say(&self, sender: UserId, to: ConversationId, content: &str) -> pb::Message {
        let sent = self.send(sender, text(to, content)).await.expect("sent");
        assert!(!sent.is_repetition);
        sent.message.expect("a message")
    }

    /// Returns the messages as they are stored.
    pub fn stored(&self) -> Collection<Message> {
        self.own.collection("messages")
    }

    /// Returns the receipts as they are stored.
    pub fn receipts(&self) -> Collection<Document> {
        self.own.collection("receipts")
    }

    /// Asserts that a conversation holds so many messages, or all of them do.
    pub async fn assert_stored(&self, conversation: Option<ConversationId>, expected: u64) {
        let filter = conversation.map_or(doc! {}, |id| doc! { "conversation_id": id });
        let found = self.stored().count_documents(filter).await.expect("a count");
        assert_eq!(found, expected, "stored messages");
    }

    /// Stores messages behind the service's back, one a second, as number 1 and so on.
    pub async fn seed(&self, pair: &Pair, count: i64) {
        let messages = (1..=count).map(|seq| stored_message(pair.conversation, pair.ada, seq));
        self.stored().insert_many(messages).await.expect("inserted");
    }

    /// Returns the commands that went to a collection since the last call, by the message service.
    pub fn take_commands(&self, collection: &str) -> Vec<Document> {
        let mut commands =
            std::mem::take(&mut *self.services.commands.lock().expect("not poisoned"));
        let is_to_it = |command: &Document| {
            command.values().next().and_then(bson::Bson::as_str) == Some(collection)
        };
        commands.retain(is_to_it);
        commands
    }

    /// Returns how many aggregations of rows the message service has made since the last call.
    pub fn take_aggregates(&self) -> usize {
        let commands = std::mem::take(&mut *self.services.commands.lock().expect("not poisoned"));
        let of_rows = commands.iter().filter(|command| {
            let stages = command.get_array("pipeline").ok();
            let first = stages.and_then(|stages| stages.first()?.as_document());
            first.is_some_and(|stage| stage.contains_key("$documents"))
        });
        of_rows.count()
    }

    /// Returns a conversation as it is stored.
    pub async fn conversation(&self, id: ConversationId) -> Document {
        let conversations = self.conversation.collection::<Document>("conversations");
        conversations.find_one(doc! { "_id": id }).await.expect("found").expect("a conversation")
    }

    /// Changes a conversation behind the conversation service's back.
    pub async fn change_conversation(&self, id: ConversationId, change: Document) {
        let conversations = self.conversation.collection::<Document>("conversations");
        let changed = conversations.update_one(doc! { "_id": id }, change).await.expect("changed");
        assert_eq!(changed.matched_count, 1);
    }
}

/// Returns a message as it is stored, at the time of [`at`].
pub fn stored_message(conversation_id: ConversationId, sender_id: UserId, seq: i64) -> Message {
    Message {
        id: MessageId::new(),
        conversation_id,
        seq,
        sender_id,
        recipient_id: None,
        content: seq.to_string(),
        kind: Kind::Text,
        attachment: None,
        client_id: None,
        created_at: at(seq),
        previous_created_at: (seq > 1).then(|| at(seq - 1)),
        origin_id: None,
        reply: None,
        forwarding: None,
        call: None,
        location: None,
        contact: None,
        mention_ids: Vec::new(),
        system: None,
        tokens: Vec::new(),
        reactions: Vec::new(),
        versions: Vec::new(),
        edited_at: None,
        change: 0,
        changed_at: None,
        deleted_for: Vec::new(),
        is_hidden: false,
        deleted_at: None,
        outbox: Vec::new(),
    }
}

/// Returns the time of a number, one a second and long ago.
pub fn at(seq: i64) -> DateTime {
    DateTime::from_millis(1_700_000_000_000 + seq * 1000)
}

/// Hears what is announced of one conversation, on a connection of its own.
pub struct Ear {
    events: Subscriber,
    conversation: String,
    // The subscription ends with it.
    _connection: async_nats::Client,
}

/// Begins to listen to a conversation.
pub async fn listen(conversation: ConversationId) -> Ear {
    let config = Nats::new(&testing::servers().await.nats_url);
    let connection = nats::connect(&config, "test").await.expect("nats answers");
    let events = nats::subscribe(&connection, subject::LOG_WILDCARD).await.expect("subscribed");
    Ear { events, conversation: conversation.to_string(), _connection: connection }
}

impl Ear {
    /// Waits for the next announcement; returns its event and its message.
    pub async fn hear(&mut self) -> (Event, pb::Message) {
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                let heard = self.events.next().await.expect("the subscription lives");
                let event = Event::decode(heard.payload).expect("an event");
                let Some(Payload::MessageCreated(created)) = event.payload.clone() else {
                    continue;
                };
                let message = created.message.expect("a message");
                if message.conversation_id == self.conversation {
                    return (event, message);
                }
            }
        });
        heard.await.expect("announced in time")
    }

    /// Waits for the next event in which something is found.
    pub async fn hear_of<T>(&mut self, find: impl Fn(&Event) -> Option<T>) -> T {
        let heard = tokio::time::timeout(PATIENCE, async {
            loop {
                let heard = self.events.next().await.expect("the subscription lives");
                let event = Event::decode(heard.payload).expect("an event");
                if let Some(found) = find(&event) {
                    return found;
                }
            }
        });
        heard.await.expect("announced in time")
    }

    /// Waits for the announcements of so many messages; returns their numbers as they were first heard.
    /// A relay may announce one again that was slow to be shown in the list.
    pub async fn hear_numbers(&mut self, count: usize) -> Vec<i64> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let (_, message) = self.hear().await;
            if !numbers.contains(&message.seq) {
                numbers.push(message.seq);
            }
        }
        numbers
    }
}

/// Returns a request that sends a text under a new id.
pub fn text(conversation: ConversationId, content: &str) -> SendMessageRequest {
    to(Target::ConversationId(conversation.to_string()), content)
}

/// Returns a request that sends a text to any target under a new id.
pub fn to(target: Target, content: &str) -> SendMessageRequest {
    SendMessageRequest {
        target: Some(target),
        message_id: MessageId::new().to_string(),
        content: content.to_owned(),
        ..SendMessageRequest::default()
    }
}

/// Wraps a message as a service of the suite does.
pub fn as_service<T>(message: T) -> Request<T> {
    Caller::service("test", "request-1").request(message)
}

/// Wraps a message as the gateway does for a user.
pub fn as_user<T>(id: UserId, message: T) -> Request<T> {
    Caller::user(id, None, "request-1").request(message)
}

/// Returns a random phone.
pub fn phone() -> String {
    let bytes = ObjectId::new().bytes();
    let digits = bytes.iter().map(|byte| format!("{byte:03}"));
    digits.fold("+".to_owned(), |phone, digits| phone + &digits)
}

/// Removes the members of a conversation, and puts others in their place, as in a group of these.
pub async fn make_group(suite: &Suite, id: ConversationId, members: &[UserId]) {
    let change = doc! {
        "$set": { "member_ids": members, "is_group": true }, "$unset": { "participant_key": "" },
    };
    suite.change_conversation(id, change).await;
}

/// Asserts code and reason of a failure.
#[track_caller]
pub fn assert_failed<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, reason: &str) {
    let status = answer.expect_err("a failure");
    let found = (status.code(), error::reason(&status));
    assert_eq!(found, (code, Some(reason.to_owned())), "{status}");
}

/// Waits until something is so.
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
