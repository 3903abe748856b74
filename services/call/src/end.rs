//! Hanging up.

use bson::DateTime;

use crate::{
    Service,
    error::Error,
    state::{Call, CallId, Party},
};

/// A hang-up.
pub(crate) struct HangUp {
    pub(crate) call_id: CallId,
    pub(crate) by: Party,
    /// Whether it may come from a screen that the client has forgotten.
    pub(crate) may_be_held: bool,
}

impl Service {
    /// Ends a call for a party, or holds that back for a moment.
    pub(crate) async fn hang_up(&self, hang_up: &HangUp, now: DateTime) -> Result<Call, Error> {
        let spans = self.spans();
        let HangUp { call_id, by, may_be_held } = hang_up;
        self.change(call_id, now, |call| call.hang_up(by, *may_be_held, spans, now)).await
    }
}
