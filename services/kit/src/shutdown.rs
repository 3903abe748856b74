//! The life of a process: a soft stop that lets work end, a hard one that does not, tracked tasks, and
//! the failure that ended it. Nothing about gRPC or HTTP.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
    time::Duration,
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long tasks get to notice the hard stop.
const HARD_STOP_GRACE: Duration = Duration::from_secs(1);

/// The life of a process, or of one service inside a process that runs several.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<OnceLock<String>>,
}

impl Lifecycle {
    /// Begins a life.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs a task until the soft stop. One that ends before it, in whatever way, ends the process with
    /// an error.
    pub fn spawn(
        &self,
        name: &'static str,
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
    ) {
        let life = self.clone();
        let handle = tokio::spawn(task);
        self.tasks.spawn(async move {
            let abort = handle.abort_handle();
            let ended = tokio::select! {
                ended = handle => ended,
                () = life.hard.cancelled() => { abort.abort(); return }
            };
            let failure = match ended {
                Ok(Ok(())) if life.soft.is_cancelled() => return,
                Ok(Ok(())) => "ended".to_owned(),
                Ok(Err(error)) => format!("failed: {error:#}"),
                Err(error) => format!("panicked: {error}"),
            };
            life.fail(&format!("{name} {failure}"));
        });
    }

    /// Runs a short piece of work that the soft stop waits for; its end is nobody's failure.
    pub fn spawn_work(&self, work: impl Future<Output = ()> + Send + 'static) {
        let hard = self.hard.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = work => {}
                () = hard.cancelled() => {}
            }
        });
    }

    /// Asks everything to end.
    pub fn stop(&self) {
        self.soft.cancel();
    }

    /// Asks everything to end, because of a failure; the first one counts.
    pub fn fail(&self, failure: &str) {
        tracing::error!(failure, "ending");
        self.failure.set(failure.to_owned()).ok();
        self.soft.cancel();
    }

    /// Waits for the soft stop.
    pub async fn stopping(&self) {
        self.soft.cancelled().await;
    }

    /// Says whether the soft stop has begun.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.soft.is_cancelled()
    }

    /// Waits for the hard stop.
    pub async fn stopped_hard(&self) {
        self.hard.cancelled().await;
    }

    /// Waits for the soft stop, then until all tasks have ended, at most `drain`; what is left is
    /// aborted. Returns the failure, if one caused the end.
    pub async fn ended(&self, drain: Duration) -> anyhow::Result<()> {
        self.soft.cancelled().await;
        self.tasks.close();
        if tokio::time::timeout(drain, self.tasks.wait()).await.is_err() {
            tracing::warn!(?drain, "work is left, aborting it");
            self.hard.cancel();
            tokio::time::timeout(HARD_STOP_GRACE, self.tasks.wait()).await.ok();
        }
        match self.failure.get() {
            Some(failure) => Err(anyhow::anyhow!("{failure}")),
            None => Ok(()),
        }
    }

    /// Turns SIGTERM and SIGINT into the soft stop, a second one into the hard stop.
    pub fn listen_for_signals(&self) -> anyhow::Result<()> {
        use tokio::signal::unix::{SignalKind, signal};
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let life = self.clone();
        tokio::spawn(async move {
            for stop in [&life.soft, &life.hard] {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                stop.cancel();
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAIN: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn task_that_ends_by_itself_ends_the_process_with_an_error() {
        let life = Lifecycle::new();
        life.spawn("worker", async { Ok(()) });
        let error = life.ended(DRAIN).await.expect_err("the worker ended");
        assert_eq!(error.to_string(), "worker ended");
    }

    #[tokio::test]
    async fn task_that_panics_ends_the_process_with_an_error() {
        let life = Lifecycle::new();
        life.spawn("worker", async { panic!("on purpose") });
        let error = life.ended(DRAIN).await.expect_err("the worker panicked");
        assert!(error.to_string().starts_with("worker panicked"), "{error}");
    }

    #[tokio::test]
    async fn soft_stop_waits_for_work_under_way() {
        let life = Lifecycle::new();
        let (done, finished) = tokio::sync::oneshot::channel();
        let stopping = life.clone();
        life.spawn_work(async move {
            stopping.stopping().await;
            tokio::task::yield_now().await;
            done.send(()).ok();
        });
        life.stop();
        life.ended(DRAIN).await.expect("no failure");
        finished.await.expect("the work was finished");
    }

    #[tokio::test]
    async fn work_that_does_not_end_is_aborted() {
        let life = Lifecycle::new();
        life.spawn("stuck", std::future::pending());
        life.stop();
        life.ended(Duration::from_millis(10)).await.expect("no failure");
    }
}
