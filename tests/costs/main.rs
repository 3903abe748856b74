//! What requests cost the databases: that every query goes by an index, and that nobody pays with more
//! commands or calls for having more members, conversations or messages. A program of its own, since a
//! process has one set of metrics; its stories have turns, since that is what they count with.

mod calls;
mod groups;
mod meter;
mod plans;
mod profile;
mod sockets;
mod tour;
mod world;

use std::{net::SocketAddr, sync::LazyLock};

use chat_kit::telemetry::metrics::{self, Served};
use tokio::{
    runtime::Runtime,
    sync::{Mutex, OnceCell},
};

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));
static METRICS: OnceCell<Served> = OnceCell::const_new();
static TURN: Mutex<()> = Mutex::const_new(());

fn test(story: impl AsyncFnOnce(SocketAddr)) {
    RUNTIME.block_on(async {
        let _turn = TURN.lock().await;
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let served =
            METRICS.get_or_init(async || metrics::serve("costs", any).await.expect("metrics"));
        story(served.await.address).await;
    });
}
