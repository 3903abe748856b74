//! Free ports on loopback. Between the look and the server's own bind another process may take one;
//! whoever starts a server tries again with the next.

use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Context as _, Result};

/// How often a server is started on a new port before its start counts as failed.
pub(crate) const TRIES: u32 = 5;

/// Chooses a port that nobody listens on.
pub(crate) fn choose() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let address = listener.and_then(|listener| listener.local_addr());
    Ok(address.context("no free port on 127.0.0.1")?.port())
}

/// Tells whether a server could listen on `port`.
pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
