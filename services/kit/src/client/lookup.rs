//! Where the replicas of a service are: addresses as they are written, and names, which are looked up
//! again and again.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::future::join_all;
use tokio::{sync::watch, time};
use tonic::transport::Uri;

use super::{replica::Replica, replicas::Set};

/// Pause between two lookups of a name.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same while a name has never had an address.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// How long a lookup may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Most addresses that are used of one name.
const MOST_ADDRESSES: usize = 256;
/// Port where a URL names none.
const HTTP_PORT: u16 = 80;

/// One URL of a service, and the addresses behind it that were last known.
struct Source {
    url: Uri,
    is_name: bool,
    addresses: Vec<SocketAddr>,
}

impl Source {
    fn new(url: Uri) -> Self {
        let address = host(&url).parse::<IpAddr>().ok();
        let addresses = address.map(|address| SocketAddr::new(address, port(&url)));
        Self { url, is_name: address.is_none(), addresses: addresses.into_iter().collect() }
    }

    /// Looks the name up. A lookup that fails changes nothing.
    async fn look_up(&mut self) {
        if !self.is_name {
            return;
        }
        let lookup = tokio::net::lookup_host((host(&self.url), port(&self.url)));
        match time::timeout(TIMEOUT, lookup).await {
            Ok(Ok(found)) => {
                let found: Vec<SocketAddr> = found.take(MOST_ADDRESSES).collect();
                if !found.is_empty() {
                    self.addresses = found;
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(url = %self.url, %error, "a service's name cannot be looked up");
            }
            Err(_) => tracing::warn!(url = %self.url, "a service's name is not answered for"),
        }
    }
}

/// Returns the replicas behind the URLs, kept up to date while anybody holds what is returned.
pub(super) fn follow(urls: &[Uri]) -> watch::Receiver<Set> {
    let mut sources: Vec<Source> = urls.iter().cloned().map(Source::new).collect();
    let (sender, receiver) = watch::channel(merge(&Set::default(), &sources));
    if sources.iter().any(|source| source.is_name) {
        tokio::spawn(async move {
            loop {
                join_all(sources.iter_mut().map(Source::look_up)).await;
                let set = merge(&sender.borrow(), &sources);
                sender.send_replace(set);
                let is_complete = sources.iter().all(|source| !source.addresses.is_empty());
                let pause = if is_complete { INTERVAL } else { FIRST_INTERVAL };
                tokio::select! {
                    () = time::sleep(pause) => {}
                    () = sender.closed() => return,
                }
            }
        });
    }
    receiver
}

/// Returns one replica for each address; those that are known stay what they are, with their
/// connections.
fn merge(known: &Set, sources: &[Source]) -> Set {
    let mut set: Vec<Arc<Replica>> = Vec::new();
    for source in sources {
        for address in &source.addresses {
            if set.iter().any(|replica| replica.address == *address) {
                continue;
            }
            let same = known.iter().find(|replica| replica.address == *address);
            let made = || Arc::new(Replica::new(*address, &source.url));
            set.push(same.cloned().unwrap_or_else(made));
        }
    }
    set.into()
}

/// Returns the host of a URL, an IPv6 address without its brackets.
fn host(url: &Uri) -> &str {
    url.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn port(url: &Uri) -> u16 {
    url.port_u16().unwrap_or(HTTP_PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(url: &'static str) -> Source {
        Source::new(Uri::from_static(url))
    }

    #[tokio::test]
    async fn replica_that_stays_keeps_its_connection() {
        let known = merge(&Set::default(), &[source("http://127.0.0.1:1"), source("http://[::1]")]);
        let addresses: Vec<String> =
            known.iter().map(|replica| replica.address.to_string()).collect();
        assert_eq!(addresses, ["127.0.0.1:1", "[::1]:80"]);
        let sources = [source("http://127.0.0.1:2"), source("http://127.0.0.1:1")];
        let next = merge(&known, &sources);
        assert_eq!(next.len(), 2);
        assert!(Arc::ptr_eq(&next[1], &known[0]));
        assert_eq!(
            merge(&known, &[sources[0].url.clone(), sources[0].url.clone()].map(Source::new)).len(),
            1
        );
    }

    #[tokio::test]
    async fn lookup_that_fails_keeps_what_is_known() {
        let mut name = source("http://nowhere.invalid:1");
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        name.addresses.push(address);
        name.look_up().await;
        assert_eq!(name.addresses, [address]);
    }
}
