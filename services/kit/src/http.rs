//! The one accept loop for HTTP: a deadline for request headers, bounded headers, `TCP_NODELAY`, a
//! graceful end, and a handle by which one connection can be cut without a word.

mod turn;

use std::{
    convert::Infallible,
    future::Future,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, Sleep},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tower::{Service, ServiceExt as _};

use self::turn::Turn;
use crate::shutdown::Lifecycle;

/// How long connections are waited for.
const WAITS: Waits = Waits { head: Duration::from_secs(5), idle: Duration::from_secs(75) };
/// Most headers of one request.
const MOST_HEADERS: usize = 64;
/// Longest request line and headers together, in bytes.
const LONGEST_HEAD: usize = 64 << 10;
/// Pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection is waited for before it is closed.
#[derive(Clone, Copy)]
struct Waits {
    /// For the first byte of the first request, and then for the whole head of each from its first byte on.
    head: Duration,
    /// For anything both ways: longer than the pause between two pings of a WebSocket, than any answer
    /// takes, and than clients and proxies keep a connection for their next request. Whoever closes
    /// first may lose a request that leaves at that moment.
    idle: Duration,
}

/// One TCP connection of a client, found in the extensions of its requests.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Address of the other end.
    pub peer: SocketAddr,
    cut: CancellationToken,
    /// Ends the reading alone.
    finish: CancellationToken,
}

impl Connection {
    /// Ends the connection at once, without a word of any protocol above TCP.
    pub fn cut(&self) {
        self.cut.cancel();
    }

    /// Reads no more, as if the other end had said its last word: what is to be written still is.
    pub fn finish(&self) {
        self.finish.cancel();
    }
}

/// The connections of a server that accepts no more.
pub struct Open {
    graceful: GracefulShutdown,
}

impl Open {
    /// Waits for the requests under way, at most until the hard stop. Upgraded connections are their
    /// owner's business: they end when they are [cut](Connection::cut).
    pub async fn drained(self, life: &Lifecycle) {
        tokio::select! {
            () = self.graceful.shutdown() => {}
            () = life.stopped_hard() => {}
        }
    }
}

/// Accepts connections and serves their requests until `stop`. While `most` connections are open,
/// further ones wait.
pub async fn accept<S, B>(
    listener: TcpListener,
    app: S,
    most: usize,
    stop: impl Future<Output = ()>,
) -> Open
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    accept_within(WAITS, listener, app, most, stop).await
}

async fn accept_within<S, B>(
    waits: Waits,
    listener: TcpListener,
    app: S,
    most: usize,
    stop: impl Future<Output = ()>,
) -> Open
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
    B: Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + Unpin
        + 'static,
{
    // HTTP/1.1 alone: telling the versions apart has no deadline, and no client speaks another without
    // TLS.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        // Its deadline would begin with the pause between two requests: the stream has one that does not.
        .header_read_timeout(None)
        .max_headers(MOST_HEADERS)
        .max_buf_size(LONGEST_HEAD);
    let places = Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS)));
    let mut stop = pin!(stop);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = &mut stop => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "connection is gone already");
            continue;
        }
        let [cut, finish] = [CancellationToken::new(), CancellationToken::new()];
        let connection = Connection { peer, cut, finish };
        let turn = Turn::default();
        let stream = Cuttable::new(stream, &connection, turn.clone(), waits, place);
        let answering = turn.clone();
        let service = app
            .clone()
            .map_request(move |mut request: Request<Incoming>| {
                turn.begin();
                request.extensions_mut().insert(connection.clone());
                request
            })
            .map_response(move |response: Response<B>| answering.end_with(response));
        let serving = builder.serve_connection_with_upgrades(
            TokioIo::new(stream),
            TowerToHyperService::new(service),
        );
        let serving = graceful.watch(serving.into_owned());
        tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    Open { graceful }
}

/// Accepts a connection once there is a place for it.
async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (stream, peer) = listener.accept().await?;
    Ok((stream, peer, place))
}

/// A TCP stream that fails once its connection is cut, stands still for too long, or takes too long to
/// bring the head of a request.
struct Cuttable {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    finish: Pin<Box<WaitForCancellationFutureOwned>>,
    turn: Turn,
    waits: Waits,
    deadline: Pin<Box<Sleep>>,
    /// How many heads had come when the next one began, where the deadline is that of its rest.
    begun_after: Option<u64>,
    // Given back when the stream is gone, whatever became of the HTTP connection.
    _place: OwnedSemaphorePermit,
}

impl Cuttable {
    fn new(
        stream: TcpStream,
        connection: &Connection,
        turn: Turn,
        waits: Waits,
        place: OwnedSemaphorePermit,
    ) -> Self {
        // Of the first byte; that of the head begins with it.
        let deadline = Box::pin(tokio::time::sleep(waits.head));
        let cut = Box::pin(connection.cut.clone().cancelled_owned());
        let finish = Box::pin(connection.finish.clone().cancelled_owned());
        Self { stream, cut, finish, turn, waits, deadline, begun_after: None, _place: place }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        self.check_cut(context)?;
        self.check_deadline(context)
    }

    fn check_cut(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut"));
        }
        Ok(())
    }

    fn check_deadline(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.deadline.as_mut().poll(context).is_pending() {
            return Ok(());
        }
        if self.begun_after.is_none_or(|heads| heads == self.turn.heads()) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "idle"));
        }
        // The head was whole in time. Its request may even have been answered by now.
        self.rest();
        // Now that it was reached, only this makes the next deadline wake whoever waits.
        match self.deadline.as_mut().poll(context) {
            Poll::Pending => Ok(()),
            Poll::Ready(()) => Err(io::Error::new(io::ErrorKind::TimedOut, "idle")),
        }
    }

    /// Begins to wait for anything.
    fn rest(&mut self) {
        self.begun_after = None;
        self.deadline.as_mut().reset(Instant::now() + self.waits.idle);
    }

    /// Notes that something came. More of a head does not move its deadline.
    fn hear(&mut self) {
        if self.turn.is_answering() {
            self.rest();
        } else if self.begun_after.is_none_or(|heads| heads != self.turn.heads()) {
            self.begun_after = Some(self.turn.heads());
            self.deadline.as_mut().reset(Instant::now() + self.waits.head);
        }
    }

    fn wrote<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        if poll.is_ready() {
            self.rest();
        }
        poll
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_cut(context)?;
        if self.finish.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.hear();
        }
        // Behind it: what has come is heard, however late a busy process looks for it.
        self.check_deadline(context)?;
        read
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write(context, data);
        self.wrote(written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check(context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check(context)?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, data);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;
    use hyper::body::Bytes;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SHORT: Duration = Duration::from_millis(400);
    const LONG: Duration = Duration::from_secs(10);
    const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    /// Those whose answers take longer than a head may, one of them at a stretch.
    const SLOW_REQUEST: &[u8] = b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n";
    const BUSY_REQUEST: &[u8] = b"GET /busy HTTP/1.1\r\nhost: x\r\n\r\n";
    const ANSWERED: &[u8] = b"answered";

    /// Accepts connections that are waited for so long.
    async fn server(waits: Waits) -> TcpStream {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = tower::service_fn(move |request: Request<Incoming>| async move {
            match request.uri().path() {
                "/slow" => tokio::time::sleep(2 * waits.head).await,
                "/busy" => std::thread::sleep(2 * waits.head),
                _ => {}
            }
            Ok(Response::new(Full::new(Bytes::from_static(ANSWERED))))
        });
        tokio::spawn(accept_within(waits, listener, app, 10, std::future::pending()));
        TcpStream::connect(address).await.expect("connected")
    }

    /// Makes a request and waits for its answer.
    async fn ask(connection: &mut TcpStream, request: &[u8]) {
        connection.write_all(request).await.expect("written");
        let (mut heard, mut buffer) = (Vec::new(), [0; 1024]);
        while !heard.ends_with(ANSWERED) {
            let read = connection.read(&mut buffer);
            let count = tokio::time::timeout(LONG, read).await.expect("in time").expect("open");
            assert_ne!(count, 0, "it is closed");
            heard.extend_from_slice(&buffer[..count]);
        }
    }

    /// Says whether a connection is closed within some time, in which nothing comes.
    async fn closes(connection: &mut TcpStream, within: Duration) -> bool {
        let mut buffer = [0; 1];
        let read = tokio::time::timeout(within, connection.read(&mut buffer)).await;
        read.is_ok_and(|read| read.map_or(true, |count| count == 0))
    }

    #[tokio::test]
    async fn next_request_may_come_later_than_a_head_may_take() {
        let mut connection = server(Waits { head: SHORT, idle: LONG }).await;
        for _ in 0..2 {
            ask(&mut connection, REQUEST).await;
            assert!(!closes(&mut connection, 3 * SHORT).await);
        }
        for slow in [SLOW_REQUEST, BUSY_REQUEST] {
            ask(&mut connection, slow).await;
            ask(&mut connection, REQUEST).await;
        }
    }

    #[tokio::test]
    async fn head_that_trickles_is_not_waited_for() {
        let mut connection = server(Waits { head: SHORT, idle: LONG }).await;
        for is_first in [true, false] {
            if !is_first {
                connection = server(Waits { head: SHORT, idle: LONG }).await;
                ask(&mut connection, REQUEST).await;
            }
            let begun = Instant::now();
            for byte in REQUEST.iter().cycle().filter(|byte| **byte != b'\n') {
                // Nobody may be there any more to read it.
                connection.write_all(&[*byte]).await.ok();
                if closes(&mut connection, SHORT / 8).await {
                    break;
                }
                assert!(begun.elapsed() < LONG / 2, "it is still read");
            }
            assert!(begun.elapsed() >= SHORT, "it has its time");
        }
    }

    #[tokio::test]
    async fn connection_that_says_nothing_is_closed() {
        let mut connection = server(Waits { head: SHORT, idle: LONG }).await;
        assert!(closes(&mut connection, LONG / 2).await, "before its first request");
        let mut connection = server(Waits { head: SHORT / 4, idle: SHORT }).await;
        ask(&mut connection, REQUEST).await;
        assert!(closes(&mut connection, LONG / 2).await, "after it");
    }
}
