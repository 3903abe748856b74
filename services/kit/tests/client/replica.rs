//! A gRPC server on a thread and a runtime of its own, so that it can be killed and stopped as a process
//! can.

use std::{
    convert::Infallible,
    future::{Future, pending},
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Duration,
};

use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Status, body::Body, server::NamedService, transport::Server};
use tonic_prost::ProstCodec;

/// A method that takes its time, and may be called again.
pub const SLOW: &str = "/chat.v1.AuthService/RevokeSession";
pub const SLOWNESS: Duration = Duration::from_secs(2);

/// What it does with calls once it has counted them.
#[derive(Clone, Copy)]
pub enum Answer {
    Ok,
    Unavailable,
    Never,
}

/// A server with one service.
pub struct Replica {
    pub address: SocketAddr,
    service: Counting,
    orders: mpsc::UnboundedSender<Order>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
enum Order {
    /// Stand still until the other end is dropped.
    Stop(std::sync::mpsc::Receiver<()>),
    /// Accept no more, finish what is under way, say so and end.
    Drain(oneshot::Sender<()>),
}

impl Replica {
    /// Starts a server on the address, or on any.
    pub fn start(address: Option<SocketAddr>) -> Self {
        let service = Counting { calls: Arc::default(), answer: Arc::new(Mutex::new(Answer::Ok)) };
        let (orders, given) = mpsc::unbounded_channel();
        let (bound, known) = std::sync::mpsc::channel();
        let served = service.clone();
        let thread = std::thread::spawn(move || {
            let mut runtime = tokio::runtime::Builder::new_current_thread();
            let runtime = runtime.enable_all().build().expect("a runtime");
            runtime.block_on(run(address, served, bound, given));
            // Dropped here with all connections: what a kill does.
        });
        let address = known.recv().expect("it listens");
        Self { address, service, orders, thread: Some(thread) }
    }

    /// Returns how many calls it has heard.
    pub fn calls(&self) -> usize {
        self.service.calls.load(Ordering::SeqCst)
    }

    pub fn set(&self, answer: Answer) {
        *self.service.answer.lock() = answer;
    }

    /// Ends it at once, with all its connections.
    pub fn kill(&mut self) {
        self.orders = mpsc::unbounded_channel().0;
        self.thread.take().expect("it runs").join().expect("no panic");
    }

    /// Lets it stand still until the returned value is dropped.
    #[must_use]
    pub fn stop(&self) -> std::sync::mpsc::Sender<()> {
        let (resume, standing) = std::sync::mpsc::channel();
        self.orders.send(Order::Stop(standing)).expect("it runs");
        resume
    }

    /// Ends it in order.
    pub async fn drain(&mut self) {
        let (drained, is_drained) = oneshot::channel();
        self.orders.send(Order::Drain(drained)).expect("it runs");
        is_drained.await.expect("it ends in order");
        self.kill();
    }
}

async fn run(
    address: Option<SocketAddr>,
    service: Counting,
    bound: std::sync::mpsc::Sender<SocketAddr>,
    mut orders: mpsc::UnboundedReceiver<Order>,
) {
    let address = address.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    let listener = tokio::net::TcpListener::bind(address).await.expect("a free port");
    bound.send(listener.local_addr().expect("an address")).expect("somebody waits");
    let (end, ending) = oneshot::channel::<()>();
    let serving = Server::builder().add_service(service).serve_with_incoming_shutdown(
        TcpListenerStream::new(listener),
        async {
            ending.await.ok();
        },
    );
    let mut end = Some(end);
    let serving = tokio::spawn(serving);
    while let Some(order) = orders.recv().await {
        match order {
            Order::Stop(standing) => drop(standing.recv()),
            Order::Drain(drained) => {
                drop(end.take());
                serving.await.expect("no panic").expect("served");
                drained.send(()).ok();
                return;
            }
        }
    }
}

/// Counts calls of whatever method of the auth service, and answers with nothing in it.
#[derive(Clone)]
struct Counting {
    calls: Arc<AtomicUsize>,
    answer: Arc<Mutex<Answer>>,
}

impl NamedService for Counting {
    const NAME: &'static str = "chat.v1.AuthService";
}

impl tower::Service<Request<Body>> for Counting {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let answer = *self.answer.lock();
        let pause = if request.uri().path() == SLOW { SLOWNESS } else { Duration::ZERO };
        let method = tower::service_fn(move |_: tonic::Request<()>| async move {
            tokio::time::sleep(pause).await;
            match answer {
                Answer::Ok => Ok(tonic::Response::new(())),
                Answer::Unavailable => Err(Status::unavailable("on purpose")),
                Answer::Never => pending().await,
            }
        });
        Box::pin(async move {
            let codec: ProstCodec<(), ()> = ProstCodec::default();
            Ok(tonic::server::Grpc::new(codec).unary(method, request).await)
        })
    }
}
