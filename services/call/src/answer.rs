//! Answering and declining calls.

use bson::DateTime;

use crate::{
    Service,
    error::Error,
    state::{Call, CallId, Ender, Party},
};

impl Service {
    /// Takes a call on one socket of the callee. Of several at once, one alone gets it, which may say so
    /// again.
    pub(crate) async fn answer(
        &self,
        id: &CallId,
        by: &Party,
        answer: &str,
        now: DateTime,
    ) -> Result<Call, Error> {
        let spans = self.spans();
        self.change(id, now, |call| call.answer(by, answer, spans, now)).await
    }

    /// Refuses a call that rings.
    pub(crate) async fn decline(
        &self,
        id: &CallId,
        by: &Ender,
        now: DateTime,
    ) -> Result<Call, Error> {
        self.change(id, now, |call| call.decline(by)).await
    }
}
