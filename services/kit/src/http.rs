//! The one accept loop for HTTP: a deadline for request headers, bounded headers, `TCP_NODELAY`, a
//! graceful end, and a handle by which one connection can be cut without a word.

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

use crate::shutdown::Lifecycle;

/// How long a client may take to send a request's headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may stand still both ways: longer than the pause between two pings of a
/// WebSocket and than any answer takes.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Most headers of one request.
const MOST_HEADERS: usize = 64;
/// Longest request line and headers together, in bytes.
const LONGEST_HEAD: usize = 64 << 10;
/// Pause after an accept that failed for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

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
    B: http_body::Body<Data: Send, Error: Into<Box<dyn std::error::Error + Send + Sync>>>
        + Send
        + 'static,
{
    // HTTP/1.1 alone: telling the versions apart has no deadline, and no client speaks another without
    // TLS.
    let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
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
        let stream = Cuttable::new(stream, &connection, place);
        let service = app.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(connection.clone());
            request
        });
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

/// A TCP stream that fails once its connection is cut, or stands still for too long.
struct Cuttable {
    stream: TcpStream,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    finish: Pin<Box<WaitForCancellationFutureOwned>>,
    idle: Pin<Box<Sleep>>,
    // Given back when the stream is gone, whatever became of the HTTP connection.
    _place: OwnedSemaphorePermit,
}

impl Cuttable {
    fn new(stream: TcpStream, connection: &Connection, place: OwnedSemaphorePermit) -> Self {
        // The deadline of the first byte; that of the headers begins with it.
        let idle = Box::pin(tokio::time::sleep(HEADER_TIMEOUT));
        let cut = Box::pin(connection.cut.clone().cancelled_owned());
        let finish = Box::pin(connection.finish.clone().cancelled_owned());
        Self { stream, cut, finish, idle, _place: place }
    }

    fn check(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        if self.cut.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, "cut"));
        }
        if self.idle.as_mut().poll(context).is_ready() {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "idle"));
        }
        Ok(())
    }

    fn progress<T>(&mut self, poll: Poll<T>) -> Poll<T> {
        if poll.is_ready() {
            self.idle.as_mut().reset(Instant::now() + IDLE_TIMEOUT);
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
        self.check(context)?;
        if self.finish.as_mut().poll(context).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        self.progress(read)
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
        self.progress(written)
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
        self.progress(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
