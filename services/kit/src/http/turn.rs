//! Whose turn it is on a connection, as its requests and their answers tell.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};

/// Whose turn it is on a connection: while a request is being answered, what comes is not the head of the
/// next one. Clones share it.
#[derive(Clone, Default)]
pub(super) struct Turn(Arc<State>);

#[derive(Default)]
struct State {
    is_answering: AtomicBool,
    /// Requests whose head has come.
    heads: AtomicU64,
}

impl Turn {
    pub(super) fn begin(&self) {
        self.0.is_answering.store(true, Ordering::Relaxed);
        self.0.heads.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_answering(&self) -> bool {
        self.0.is_answering.load(Ordering::Relaxed)
    }

    pub(super) fn heads(&self) -> u64 {
        self.0.heads.load(Ordering::Relaxed)
    }

    /// Ends the turn with the body of its answer. What is upgraded has no further turns.
    pub(super) fn end_with<B>(&self, response: Response<B>) -> Response<Answer<B>> {
        let is_upgraded = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        let turn = (!is_upgraded).then(|| self.clone());
        response.map(|body| Answer { body, _end: TurnEnd(turn) })
    }
}

/// Ends a turn when it is dropped.
struct TurnEnd(Option<Turn>);

impl Drop for TurnEnd {
    fn drop(&mut self) {
        if let Some(turn) = &self.0 {
            turn.0.is_answering.store(false, Ordering::Relaxed);
        }
    }
}

/// The body of an answer, which is dropped once all of it is on its way.
pub(super) struct Answer<B> {
    body: B,
    _end: TurnEnd,
}

impl<B: Body + Unpin> Body for Answer<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
