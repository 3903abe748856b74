//! What every handler shares.

use std::{sync::Arc, time::Instant};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{Sessions, Verifier},
    clients::Clients,
    config::Config,
    limits::Limits,
    socket::{Bound, typing::Typists},
};

/// New sockets whose missed messages are counted as delivered at the same time; further ones wait.
const MOST_CATCH_UPS: usize = 64;

/// What every handler shares; cheap to clone.
#[derive(Clone, Debug)]
pub struct AppState {
    /// The clients of the services.
    pub clients: Clients,
    /// Verifies tokens.
    pub verifier: Arc<Verifier>,
    /// What the auth service said about sessions a moment ago.
    pub sessions: Sessions,
    /// The sockets of this gateway that calls need.
    pub calls: Bound,
    /// What clients have asked of late.
    pub limits: Arc<Limits>,
    /// Who types on the sockets of this gateway.
    pub typists: Typists,
    /// The connection on which they are told of; none in what only answers requests.
    pub nats: Option<async_nats::Client>,
    /// Places of the sockets that are caught up.
    pub catch_ups: Arc<Semaphore>,
    /// The configuration of the process.
    pub config: Arc<Config>,
    /// What the spans of this gateway call it.
    pub part: Arc<str>,
    /// When the process began.
    pub started: Instant,
    /// Cancelled when the process is about to end.
    pub stopping: CancellationToken,
}

impl AppState {
    /// Puts the state together; nothing is connected yet.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Self {
            clients: Clients::new(&config),
            verifier: Arc::new(Verifier::new(&config.token)),
            sessions: Sessions::new(config.http.hold),
            calls: Bound::default(),
            limits: Arc::new(Limits::new(&config.limits)),
            typists: Typists::default(),
            nats: None,
            catch_ups: Arc::new(Semaphore::new(MOST_CATCH_UPS)),
            part: format!("gateway {}", config.listen).into(),
            config: Arc::new(config),
            started: Instant::now(),
            stopping: CancellationToken::new(),
        }
    }
}
