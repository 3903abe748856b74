//! Hanging up.

use bson::DateTime;
use chat_kit::id::UserId;

use crate::{
    Service,
    error::Error,
    state::{Call, CallId},
};

/// A hang-up.
pub(crate) struct HangUp {
    pub(crate) call_id: CallId,
    pub(crate) socket_id: String,
    /// Whether it may come from a screen that the client has forgotten.
    pub(crate) may_be_held: bool,
}

impl Service {
    /// Ends a call for a party, or holds that back for a moment.
    pub(crate) async fn hang_up(
        &self,
        by: UserId,
        hang_up: &HangUp,
        now: DateTime,
    ) -> Result<Call, Error> {
        let spans = self.spans();
        let HangUp { call_id, socket_id, may_be_held } = hang_up;
        self.change(call_id, now, |call| call.hang_up(by, socket_id, *may_be_held, spans, now))
            .await
    }
}
