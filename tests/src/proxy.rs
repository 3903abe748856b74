//! A TCP proxy in front of a server, so that one client's connections to it can be broken alone, or made
//! to stand still.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::AbortHandle,
};

/// A proxy; it ends with this value.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepted: watch::Receiver<usize>,
    /// How often something was held back.
    held: watch::Sender<usize>,
    accepting: AbortHandle,
}

struct State {
    is_open: bool,
    connections: Vec<AbortHandle>,
    /// Says of the connections made from now on whether they stand still.
    stands_still: watch::Sender<bool>,
    /// Those of connections that stand still for good.
    abandoned: Vec<watch::Sender<bool>>,
}

impl Proxy {
    /// Starts a proxy in front of a server such as `nats://127.0.0.1:4222`.
    ///
    /// # Panics
    ///
    /// If that is no address, or there is no port.
    pub async fn new(server: &str) -> Self {
        let server: SocketAddr =
            server.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(Mutex::new(State {
            is_open: true,
            connections: Vec::new(),
            stands_still: watch::Sender::new(false),
            abandoned: Vec::new(),
        }));
        let (count, accepted) = watch::channel(0);
        let held = watch::Sender::new(0);
        let holding = held.clone();
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut state = shared.lock();
                if state.is_open {
                    let still = state.stands_still.subscribe();
                    let connection = tokio::spawn(connect(client, server, still, holding.clone()));
                    state.connections.push(connection.abort_handle());
                    count.send_modify(|count| *count += 1);
                }
            }
        });
        Self { address, state, accepted, held, accepting: accepting.abort_handle() }
    }

    /// Breaks all connections and makes no new ones.
    pub fn close(&self) {
        let mut state = self.state.lock();
        state.is_open = false;
        for connection in state.connections.drain(..) {
            connection.abort();
        }
    }

    /// Makes connections again.
    pub fn open(&self) {
        self.state.lock().is_open = true;
    }

    /// Lets nothing through any more, although all stays connected.
    pub fn freeze(&self) {
        self.state.lock().stands_still.send_replace(true);
    }

    /// Waits until something has been held back.
    ///
    /// # Panics
    ///
    /// Never: what says so lives as long as the proxy.
    pub async fn until_holding(&self) {
        self.held.subscribe().wait_for(|held| *held > 0).await.expect("it lives");
    }

    /// Lets everything through again, also what came meanwhile.
    pub fn thaw(&self) {
        self.state.lock().stands_still.send_replace(false);
    }

    /// Lets nothing through the connections that are there, for good; new ones work.
    pub fn abandon(&self) {
        self.freeze();
        let mut state = self.state.lock();
        let abandoned = std::mem::replace(&mut state.stands_still, watch::Sender::new(false));
        state.abandoned.push(abandoned);
    }

    /// Waits until so many connections have been made in all.
    ///
    /// # Panics
    ///
    /// If the proxy has ended.
    pub async fn until_accepted(&self, count: usize) {
        self.accepted.clone().wait_for(|accepted| *accepted >= count).await.expect("it lives");
    }
}

async fn connect(
    client: TcpStream,
    server: SocketAddr,
    still: watch::Receiver<bool>,
    held: watch::Sender<usize>,
) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    // As soon as one side ends, both do.
    tokio::select! {
        _ = copy(from_client, to_server, still.clone(), &held) => {}
        _ = copy(from_server, to_client, still, &held) => {}
    }
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut still: watch::Receiver<bool>,
    held: &watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut bytes = [0; 16 << 10];
    loop {
        let count = from.read(&mut bytes).await?;
        if count == 0 {
            return Ok(());
        }
        if *still.borrow() {
            held.send_modify(|held| *held += 1);
        }
        still.wait_for(|still| !still).await.map_err(std::io::Error::other)?;
        to.write_all(&bytes[..count]).await?;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
        self.accepting.abort();
    }
}
