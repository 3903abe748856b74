//! Natural batching: while one command is under way, what arrives meanwhile waits and goes out together
//! in the next. No timer: what finds nothing under way goes at once. Knows nothing of what the work is.

use std::{collections::VecDeque, future::Future, num::NonZeroUsize, pin::Pin, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    sync::oneshot,
    time::{Duration, Instant, timeout_at},
};

/// Bounds of a batched kind of work.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Batches under way side by side.
    pub under_way: NonZeroUsize,
    /// Most items of one batch.
    pub at_once: NonZeroUsize,
    /// Most items that wait; further ones are refused.
    pub waiting: usize,
    /// How long an item waits for its outcome, its place in the queue included.
    pub patience: Duration,
}

/// Why an item has no outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BatchError {
    /// Too many items wait; this one was not begun.
    #[error("too much waits to be done")]
    Full,
    /// It took too long; the item may have been done or may still be.
    #[error("the outcome took too long")]
    Late,
    /// The work on it died, and the item may have been done.
    #[error("the work on it died")]
    Died,
}

type Working<A> = Pin<Box<dyn Future<Output = Vec<A>> + Send>>;

/// Work of one kind. Clones share everything.
pub struct Batches<T, A> {
    shared: Arc<Shared<T, A>>,
}

impl<T, A> Clone for Batches<T, A> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<T, A> std::fmt::Debug for Batches<T, A> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Batches").field("bounds", &self.shared.bounds).finish()
    }
}

struct Shared<T, A> {
    bounds: Bounds,
    queue: Mutex<Queue<T, A>>,
    work: Box<dyn Fn(Vec<T>) -> Working<A> + Send + Sync>,
}

struct Queue<T, A> {
    waiting: VecDeque<(T, oneshot::Sender<A>)>,
    under_way: usize,
}

impl<T: Send + 'static, A: Send + 'static> Batches<T, A> {
    /// Describes work that turns the items of a batch into as many outcomes, in the same order. It must
    /// have deadlines of its own.
    pub fn new<F>(bounds: Bounds, work: impl Fn(Vec<T>) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Vec<A>> + Send + 'static,
    {
        let queue = Queue { waiting: VecDeque::new(), under_way: 0 };
        let work = Box::new(move |items| Box::pin(work(items)) as Working<A>);
        Self { shared: Arc::new(Shared { bounds, queue: Mutex::new(queue), work }) }
    }

    /// Has one item done, in a batch that begins after this call did. The batch goes on when the caller
    /// goes away; an item whose caller is gone before its batch begins is left out.
    pub async fn submit(&self, item: T) -> Result<A, BatchError> {
        let until = Instant::now() + self.shared.bounds.patience;
        let placed = {
            let mut queue = self.shared.queue.lock();
            let placed = self.place(&mut queue, item);
            self.begin(&mut queue);
            placed
        };
        outcome(placed, until).await
    }

    /// Does the same for several items, which go together as far as they fit.
    pub async fn submit_all(&self, items: Vec<T>) -> Vec<Result<A, BatchError>> {
        let until = Instant::now() + self.shared.bounds.patience;
        let placed: Vec<_> = {
            let mut queue = self.shared.queue.lock();
            let placed = items.into_iter().map(|item| self.place(&mut queue, item)).collect();
            self.begin(&mut queue);
            placed
        };
        let mut outcomes = Vec::with_capacity(placed.len());
        for placed in placed {
            outcomes.push(outcome(placed, until).await);
        }
        outcomes
    }

    fn place(&self, queue: &mut Queue<T, A>, item: T) -> Result<oneshot::Receiver<A>, BatchError> {
        if queue.waiting.len() >= self.shared.bounds.waiting {
            return Err(BatchError::Full);
        }
        let (answer, outcome) = oneshot::channel();
        queue.waiting.push_back((item, answer));
        Ok(outcome)
    }

    fn begin(&self, queue: &mut Queue<T, A>) {
        if queue.waiting.is_empty() {
            return;
        }
        if queue.under_way < self.shared.bounds.under_way.get() {
            queue.under_way += 1;
            let turn = Turn { shared: Arc::clone(&self.shared), is_over: false };
            tokio::spawn(turn.work());
        }
    }
}

async fn outcome<A>(
    placed: Result<oneshot::Receiver<A>, BatchError>,
    until: Instant,
) -> Result<A, BatchError> {
    match timeout_at(until, placed?).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(_)) => Err(BatchError::Died),
        Err(_) => Err(BatchError::Late),
    }
}

/// One of the batches that may be under way: works until nothing waits any more.
struct Turn<T, A> {
    shared: Arc<Shared<T, A>>,
    is_over: bool,
}

impl<T, A> Turn<T, A> {
    async fn work(mut self) {
        while let Some((items, answers)) = self.take() {
            let outcomes = (self.shared.work)(items).await;
            debug_assert_eq!(outcomes.len(), answers.len(), "one outcome for each item");
            for (answer, outcome) in answers.into_iter().zip(outcomes) {
                // The caller may have gone away.
                answer.send(outcome).ok();
            }
        }
    }

    /// Takes what waits, or ends the turn.
    fn take(&mut self) -> Option<(Vec<T>, Vec<oneshot::Sender<A>>)> {
        let most = self.shared.bounds.at_once.get();
        let mut queue = self.shared.queue.lock();
        let (mut items, mut answers) = (Vec::new(), Vec::new());
        while items.len() < most
            && let Some((item, answer)) = queue.waiting.pop_front()
        {
            if !answer.is_closed() {
                items.push(item);
                answers.push(answer);
            }
        }
        if items.is_empty() {
            queue.under_way -= 1;
            self.is_over = true;
            return None;
        }
        Some((items, answers))
    }
}

impl<T, A> Drop for Turn<T, A> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        // The work died. Nobody may come to take what waits; its callers hear of it.
        let mut queue = self.shared.queue.lock();
        queue.under_way -= 1;
        queue.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::sync::{Semaphore, mpsc};

    use super::*;

    const BOUNDS: Bounds = Bounds {
        under_way: NonZeroUsize::MIN,
        at_once: NonZeroUsize::new(4).expect("not zero"),
        waiting: 6,
        patience: Duration::from_secs(5),
    };

    /// Work that doubles numbers, a batch for each permit, and tells of each batch that begins.
    struct Doubling {
        batches: Batches<u32, u32>,
        begun: mpsc::UnboundedReceiver<Vec<u32>>,
        permits: Arc<Semaphore>,
    }

    fn doubling() -> Doubling {
        let (tell, begun) = mpsc::unbounded_channel();
        let permits = Arc::new(Semaphore::new(0));
        let gate = Arc::clone(&permits);
        let batches = Batches::new(BOUNDS, move |items: Vec<u32>| {
            tell.send(items.clone()).expect("the test listens");
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.expect("open").forget();
                assert!(!items.contains(&13), "on purpose");
                items.into_iter().map(|item| 2 * item).collect()
            }
        });
        Doubling { batches, begun, permits }
    }

    impl Doubling {
        fn submit(&self, item: u32) -> tokio::task::JoinHandle<Result<u32, BatchError>> {
            let batches = self.batches.clone();
            tokio::spawn(async move { batches.submit(item).await })
        }

        async fn next(&mut self) -> Vec<u32> {
            self.begun.recv().await.expect("a batch")
        }

        fn waiting(&self) -> usize {
            self.batches.shared.queue.lock().waiting.len()
        }

        /// Begins a batch with 0 alone, and lets others wait.
        async fn behind_one(&mut self, items: &[u32]) -> Vec<Calling> {
            let mut calls = vec![self.submit(0)];
            assert_eq!(self.next().await, [0]);
            for (place, item) in items.iter().enumerate() {
                calls.push(self.submit(*item));
                while self.waiting() <= place {
                    tokio::task::yield_now().await;
                }
            }
            calls
        }
    }

    type Calling = tokio::task::JoinHandle<Result<u32, BatchError>>;

    async fn outcomes(calls: Vec<Calling>) -> Vec<Result<u32, BatchError>> {
        let outcomes = join_all(calls).await.into_iter();
        outcomes.map(|outcome| outcome.expect("the call ends")).collect()
    }

    #[tokio::test]
    async fn what_arrives_meanwhile_goes_together_and_each_gets_its_own() {
        let mut doubling = doubling();
        let calls = doubling.behind_one(&[1, 2, 3, 4, 5]).await;
        doubling.permits.add_permits(3);
        assert_eq!(outcomes(calls).await, [0, 2, 4, 6, 8, 10].map(Ok));
        assert_eq!(doubling.next().await, [1, 2, 3, 4], "no more than fit");
        assert_eq!(doubling.next().await, [5]);
    }

    #[tokio::test]
    async fn item_beyond_the_queue_is_refused_at_once() {
        let mut doubling = doubling();
        let calls = doubling.behind_one(&[1, 2, 3, 4, 5, 6]).await;
        assert_eq!(doubling.batches.submit(7).await, Err(BatchError::Full));
        doubling.permits.add_permits(3);
        assert_eq!(outcomes(calls).await, [0, 2, 4, 6, 8, 10, 12].map(Ok));
    }

    #[tokio::test]
    async fn caller_that_goes_away_stops_no_batch() {
        let mut doubling = doubling();
        let mut calls = doubling.behind_one(&[1, 2]).await;
        calls.remove(0).abort();
        calls.remove(0).abort();
        tokio::task::yield_now().await;
        doubling.permits.add_permits(2);
        assert_eq!(outcomes(calls).await, [Ok(4)]);
        assert_eq!(doubling.next().await, [2], "nobody waits for 1");
    }

    #[tokio::test]
    async fn work_that_dies_hangs_nobody_and_new_work_begins() {
        let mut doubling = doubling();
        let mut calls = vec![doubling.submit(13)];
        assert_eq!(doubling.next().await, [13]);
        calls.push(doubling.submit(1));
        while doubling.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        doubling.permits.add_permits(2);
        assert_eq!(outcomes(calls).await, [Err(BatchError::Died), Err(BatchError::Died)]);
        assert_eq!(doubling.batches.submit(2).await, Ok(4));
    }

    #[tokio::test(start_paused = true)]
    async fn outcome_that_does_not_come_is_late() {
        let doubling = doubling();
        assert_eq!(doubling.batches.submit(1).await, Err(BatchError::Late));
    }
}
