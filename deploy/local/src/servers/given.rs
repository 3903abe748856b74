//! Servers that run already and are used as they are: reachable or one clear line. What is printed
//! of an address never has its credentials.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use mongodb::Client;
use mongodb::bson::doc;
use mongodb::options::ClientOptions;
use tokio::time::timeout;

const REACH_TIMEOUT: Duration = Duration::from_secs(5);
/// Lets the driver, which knows what is wrong, give up before we do.
const DRIVER_TIMEOUT: Duration = Duration::from_secs(4);

/// Fails unless a MongoDB answers at `uri`.
pub(super) async fn reach_mongodb(uri: &str) -> Result<()> {
    let shown = without_credentials(uri);
    let Ok(parsed) = timeout(REACH_TIMEOUT, ClientOptions::parse(uri)).await else {
        bail!("the name of MongoDB at {shown} cannot be looked up: check the address");
    };
    // The driver's words may quote the credentials.
    let mut options = parsed.map_err(|_| {
        anyhow!("{shown} is not the connection string of a MongoDB: write mongodb://host:port/")
    })?;
    options.server_selection_timeout = Some(DRIVER_TIMEOUT);
    options.connect_timeout = Some(DRIVER_TIMEOUT);
    let ping = async {
        let client = Client::with_options(options)?;
        let answer = client.database("admin").run_command(doc! { "ping": 1 }).await;
        client.shutdown().immediate(true).await;
        answer
    };
    let unreachable = || {
        format!("MongoDB at {shown} does not answer: start it, or correct or leave out its address")
    };
    timeout(REACH_TIMEOUT, ping).await.with_context(unreachable)?.with_context(unreachable)?;
    Ok(())
}

/// Fails unless a NATS server with JetStream answers at `url`.
pub(super) async fn reach_nats(url: &str) -> Result<()> {
    let shown = without_credentials(url);
    let unreachable = || {
        format!("NATS at {shown} does not answer: start it, or correct or leave out its address")
    };
    let connect = async_nats::ConnectOptions::new().connection_timeout(DRIVER_TIMEOUT).connect(url);
    let client = timeout(REACH_TIMEOUT, connect).await.with_context(unreachable)?;
    let client = client.map_err(own_words).with_context(unreachable)?;
    let context = async_nats::jetstream::new(client);
    timeout(REACH_TIMEOUT, context.query_account())
        .await
        .map_err(anyhow::Error::from)
        .and_then(|account| account.map_err(own_words))
        .with_context(|| format!("NATS at {shown} has no JetStream: start it with -js"))?;
    Ok(())
}

/// An error of the NATS client quotes its source already.
fn own_words(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("{error}")
}

/// Keeps the scheme and the hosts. A password may be malformed and hold any character, so that all
/// before the last `@` goes, even when that takes hosts of a list with it.
fn without_credentials(address: &str) -> String {
    let (scheme, rest) = match address.split_once("://") {
        Some((scheme, rest)) if !scheme.contains(['@', ':']) => (format!("{scheme}://"), rest),
        _ => (String::new(), address),
    };
    let hosts = rest.rsplit_once('@').map_or(rest, |(_, hosts)| hosts);
    let hosts = hosts.split(['/', '?']).next().unwrap_or_default();
    format!("{scheme}{hosts}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_is_shown_without_credentials() {
        let cases = [
            ("mongodb://127.0.0.1:27017/?replicaSet=rs0", "mongodb://127.0.0.1:27017"),
            (
                "mongodb://a:s%40c@h1:1,h2:2/db?tlsCertificateKeyFilePassword=s",
                "mongodb://h1:1,h2:2",
            ),
            ("mongodb+srv://a:s/e?c@r@example.org", "mongodb+srv://example.org"),
            ("nats://secret@127.0.0.1:4222", "nats://127.0.0.1:4222"),
            ("nats://a:s@h1,nats://a:s@h2", "nats://h2"),
            ("a:s://x@h1:4222", "h1:4222"),
        ];
        for (address, shown) in cases {
            assert_eq!(without_credentials(address), shown, "{address}");
        }
    }

    #[tokio::test]
    async fn unreachable_servers_are_named_without_credentials() -> Result<()> {
        let mongodb = reach_mongodb("mongodb://anna:secret@127.0.0.1:1/").await;
        let nats = reach_nats("nats://anna:secret@127.0.0.1:1").await;
        let malformed = reach_mongodb("mongodb://anna:sec/ret@127.0.0.1:1/").await;
        for (outcome, shown) in [
            (mongodb, "MongoDB at mongodb://127.0.0.1:1 does not answer"),
            (nats, "NATS at nats://127.0.0.1:1 does not answer"),
            (malformed, "mongodb://127.0.0.1:1 is not the connection string"),
        ] {
            let line = format!("{:#}", outcome.err().context("reached")?);
            assert!(line.starts_with(shown) && !line.contains('\n'), "{line}");
            assert!(!line.contains("sec"), "{line}");
        }
        Ok(())
    }
}
