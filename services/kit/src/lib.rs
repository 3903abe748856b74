//! What every process of the suite needs: configuration, logs, lifecycle, gRPC server and channels,
//! the caller's identity, errors, ids, MongoDB and NATS. Of the domain it knows ids and the event
//! envelope.

pub mod batch;
pub mod caller;
pub mod client;
pub mod config;
pub mod error;
pub mod http;
pub mod id;
pub mod limit;
pub mod mongo;
pub mod nats;
pub mod outbox;
pub mod phone;
pub mod picture;
pub mod process;
pub mod server;
pub mod session;
pub mod shutdown;
pub mod telemetry;
pub mod time;
