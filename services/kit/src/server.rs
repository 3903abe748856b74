//! The gRPC server of a service: request ids, deadlines, load shedding, health that follows MongoDB,
//! reflection, and a drain at the end. No service names.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context as _;
use mongodb::Database;
use tokio::net::{TcpListener, TcpSocket};
use tonic::{
    codegen::tokio_stream::wrappers::TcpListenerStream,
    service::Routes,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    caller,
    config::{Grpc, Stop},
    mongo,
    shutdown::Lifecycle,
    telemetry::{grpc::Methods, metrics},
};

/// How often MongoDB is asked whether it is there.
const READINESS_INTERVAL: Duration = Duration::from_secs(2);
/// How long calls on a connection that reached its age may still take.
const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(30);
/// Connections that wait to be accepted.
const BACKLOG: u32 = 1024;
/// How often an idle connection is tried.
const KEEPALIVE: Duration = Duration::from_secs(20);

/// Calls given up before they were accepted, as a multiple of the open calls that a connection may have.
/// With more of them the connection is closed, and every call on it fails. The callers are our own: when
/// this process stands still, all their open calls run out of time together, and so do the next tries.
const GIVEN_UP_PER_OPEN: usize = 4;

/// Opens the listener of a server; the error names the address.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))
}

/// Reserves the address of a server that is not ready yet; the error names the address. Until it
/// listens, callers find nobody there and turn to another replica, where they would wait in its queue.
pub fn reserve(address: SocketAddr) -> anyhow::Result<TcpSocket> {
    let reserve = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        // So that a process that is started again need not wait for its last connections to fade.
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        Ok::<_, std::io::Error>(socket)
    };
    reserve().with_context(|| format!("cannot listen on {address}"))
}

/// Begins to listen on a reserved address.
pub fn listen(socket: TcpSocket) -> anyhow::Result<TcpListener> {
    socket.listen(BACKLOG).context("cannot listen")
}

/// A gRPC service, ready to be served.
pub struct Served {
    /// Its full name, such as `chat.v1.UserService`.
    pub name: &'static str,
    /// Its routes.
    pub routes: Routes,
    /// The database it cannot work without.
    pub database: Database,
}

/// Serves until the soft stop: then health says so, and after the pause the open calls are drained.
pub async fn serve(
    listener: TcpListener,
    served: Served,
    grpc: &Grpc,
    stop: &Stop,
    life: &Lifecycle,
) -> anyhow::Result<()> {
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status(served.name, ServingStatus::Serving).await;
    life.spawn("readiness", watch(health.clone(), served.name, served.database, life.clone()));

    let methods = Methods::of(served.name)?;
    let traced = methods.clone();
    let (pause, name, stopping) = (stop.pause, served.name, life.clone());
    let stopped = async move {
        stopping.stopping().await;
        health.set_service_status(name, ServingStatus::NotServing).await;
        health.set_service_status("", ServingStatus::NotServing).await;
        tokio::time::sleep(pause).await;
    };
    Server::builder()
        .trace_fn(move |request| traced.span(request_id(request), request))
        .timeout(grpc.timeout)
        .concurrency_limit_per_connection(grpc.concurrency)
        .load_shed(true)
        .http2_max_pending_accept_reset_streams(Some(
            grpc.concurrency.saturating_mul(GIVEN_UP_PER_OPEN),
        ))
        .max_connection_age(grpc.connection_age)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
        .http2_keepalive_interval(Some(KEEPALIVE))
        .layer(tower::layer::layer_fn(move |calls| methods.measure(calls)))
        .add_routes(served.routes)
        .add_service(health_service)
        .add_service(reflection(name).build_v1()?)
        .add_service(reflection(name).build_v1alpha()?)
        .serve_with_incoming_shutdown(incoming(listener), stopped)
        .await?;
    Ok(())
}

fn incoming(listener: TcpListener) -> TcpIncoming {
    TcpIncoming::from(TcpListenerStream::new(listener).into_inner()).with_nodelay(Some(true))
}

/// Lists what is served here, although the descriptors are those of the whole suite.
fn reflection(name: &str) -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .with_service_name(name)
        .with_service_name(tonic_health::pb::health_server::SERVICE_NAME)
        .register_encoded_file_descriptor_set(chat_proto::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}

fn request_id(request: &http::Request<()>) -> &str {
    let given = request.headers().get(caller::REQUEST_ID).and_then(|value| value.to_str().ok());
    given.filter(|id| caller::is_request_id(id)).unwrap_or_default()
}

/// Lets health follow MongoDB.
async fn watch(
    health: HealthReporter,
    name: &'static str,
    database: Database,
    life: Lifecycle,
) -> anyhow::Result<()> {
    let mut was_ready = true;
    metrics::mongodb(name, was_ready);
    loop {
        tokio::select! {
            () = tokio::time::sleep(READINESS_INTERVAL) => {}
            () = life.stopping() => return Ok(()),
        }
        let is_ready = mongo::ping(&database).await.is_ok();
        metrics::mongodb(name, is_ready);
        if is_ready != was_ready && !life.is_stopping() {
            tracing::warn!(service = name, is_ready, "readiness changed with mongodb");
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            health.set_service_status(name, status).await;
        }
        was_ready = is_ready;
    }
}
