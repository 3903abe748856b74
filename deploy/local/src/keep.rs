//! What happens when a process ends by itself: it is said, and where that is wanted the process is
//! started again.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use crate::child::Child;

/// Pause before a process is started again; doubles while it goes on ending soon.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// A process that ran this long had not ended soon.
const STABLE_AFTER: Duration = Duration::from_secs(10);

/// Tells somebody a line.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// A program that can be started again and again.
pub(crate) trait Keep {
    /// Returns its process.
    fn child(&mut self) -> &mut Child;

    /// Starts its process and waits until it answers.
    fn launch(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send;
}

/// Says when the process ends by itself, and starts it again where `restarts`. Never returns. Cancel
/// safe.
pub(crate) async fn keep(kept: &mut impl Keep, restarts: bool, say: &Say) {
    let mut pause = FIRST_PAUSE;
    loop {
        let started_at = Instant::now();
        let ended = kept.child().ended().await;
        if !restarts {
            say(&ended);
            // Does not end twice.
            continue;
        }
        say(&format!("{ended}, starting it again"));
        if started_at.elapsed() > STABLE_AFTER {
            pause = FIRST_PAUSE;
        }
        loop {
            sleep(pause).await;
            kept.child().may_start().await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            match kept.launch().await {
                Ok(()) => break,
                Err(error) => say(&format!("{error:#}, starting it again")),
            }
        }
    }
}
