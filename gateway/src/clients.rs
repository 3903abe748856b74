//! The generated clients of the services, on channels that connect when first used.

use std::time::Duration;

use chat_kit::{
    client::{Channel, channel},
    config::Upstream,
};
use chat_proto::v1::{
    auth_service_client::AuthServiceClient, auth_service_server,
    call_service_client::CallServiceClient, call_service_server,
    conversation_service_client::ConversationServiceClient, conversation_service_server,
    message_service_client::MessageServiceClient, message_service_server,
    user_service_client::UserServiceClient, user_service_server,
};
use tokio::time::Instant;
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;

use crate::config::Config;

/// Largest answer of the message service, in bytes: a thousand messages of the longest text and with
/// the longest address of a file fit in.
const LARGEST_HISTORY: usize = 32 << 20;

/// Largest answer of the conversation service, in bytes: five hundred conversations with such a message
/// each fit in.
const LARGEST_LIST: usize = 16 << 20;

/// Largest answer of the user service, in bytes: five thousand profiles with the longest addresses of
/// pictures fit in.
const LARGEST_PROFILES: usize = 16 << 20;

/// How long a service may take to say how it is.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(1);

/// Pause between two tries of a call that is held.
const HOLD_PAUSE: Duration = Duration::from_millis(100);

/// Makes a call that changes nothing, again and again while its service cannot be reached, for as long
/// as `hold`. For answers that clients take for more than they say.
pub async fn held<T, F>(hold: Duration, call: impl Fn() -> F) -> Result<T, Status>
where
    F: Future<Output = Result<T, Status>>,
{
    let end = Instant::now() + hold;
    loop {
        match call().await {
            Err(status) if status.code() == Code::Unavailable && Instant::now() < end => {
                tokio::time::sleep(HOLD_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// The clients of all services; cheap to clone.
#[derive(Clone, Debug)]
pub struct Clients {
    /// Accounts, one-time passwords, sessions.
    pub auth: AuthServiceClient<Channel>,
    /// Profiles.
    pub user: UserServiceClient<Channel>,
    /// Conversations.
    pub conversation: ConversationServiceClient<Channel>,
    /// Messages.
    pub message: MessageServiceClient<Channel>,
    /// Calls.
    pub call: CallServiceClient<Channel>,
    /// Full name of each service, and where to ask for its health.
    pub health: [(&'static str, HealthClient<Channel>); 5],
}

impl Clients {
    /// Makes the clients; nothing is connected yet.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let health = |name: &'static str, upstream: &Upstream| {
            let channel = channel(upstream).with_timeout(HEALTH_TIMEOUT);
            (name, HealthClient::new(channel))
        };
        Self {
            auth: AuthServiceClient::new(channel(&config.auth)),
            user: UserServiceClient::new(channel(&config.user))
                .max_decoding_message_size(LARGEST_PROFILES),
            conversation: ConversationServiceClient::new(channel(&config.conversation))
                .max_decoding_message_size(LARGEST_LIST),
            message: MessageServiceClient::new(channel(&config.message))
                .max_decoding_message_size(LARGEST_HISTORY),
            call: CallServiceClient::new(channel(&config.call)),
            health: [
                health(auth_service_server::SERVICE_NAME, &config.auth),
                health(user_service_server::SERVICE_NAME, &config.user),
                health(conversation_service_server::SERVICE_NAME, &config.conversation),
                health(message_service_server::SERVICE_NAME, &config.message),
                health(call_service_server::SERVICE_NAME, &config.call),
            ],
        }
    }
}
