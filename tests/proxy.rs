//! A TCP proxy in front of a server, so that one client's connections to it can be broken alone.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::AbortHandle,
};

/// A proxy; it ends with this value.
pub struct Proxy {
    /// Where it listens.
    pub address: SocketAddr,
    is_open: watch::Sender<bool>,
    connections: Arc<Mutex<Vec<AbortHandle>>>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Starts a proxy in front of a server such as `nats://127.0.0.1:4222`.
    pub async fn new(server: &str) -> Self {
        let server: SocketAddr =
            server.rsplit('/').next().and_then(|address| address.parse().ok()).expect("an address");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (is_open, open) = watch::channel(true);
        let connections: Arc<Mutex<Vec<AbortHandle>>> = Arc::default();
        let all = Arc::clone(&connections);
        let accepting = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if !*open.borrow() {
                    continue;
                }
                let connection = tokio::spawn(async move {
                    if let Ok(mut server) = TcpStream::connect(server).await {
                        copy_bidirectional(&mut client, &mut server).await.ok();
                    }
                });
                all.lock().expect("not poisoned").push(connection.abort_handle());
            }
        });
        Self { address, is_open, connections, accepting: accepting.abort_handle() }
    }

    /// Breaks all connections and makes no new ones.
    pub fn close(&self) {
        self.is_open.send_replace(false);
        for connection in self.connections.lock().expect("not poisoned").drain(..) {
            connection.abort();
        }
    }

    /// Makes connections again.
    pub fn open(&self) {
        self.is_open.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.close();
        self.accepting.abort();
    }
}
