//! What events about calls carry, for the document of events, and the direct answers to them.

use serde_json::Value;
use utoipa::ToSchema;

use super::{
    ANSWER, BUSY, CANDIDATE, END, ERROR, HANGUP, ICE_CANDIDATE, INVITE, OFFER, OFFER_ERROR,
    OLD_ANSWER, shown::Call,
};
use crate::{
    openapi::{ALL, BOTH, DESKTOP, Events, NEW, Nothing},
    wire::socket::Failure,
};

/// Whom to ring. New clients say `userId`, old ones `to`.
#[derive(ToSchema)]
#[schema(as = CallInvitation, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is read with all its spellings")]
struct Invitation {
    /// The id of the user to ring; or `to`
    user_id: Option<String>,
    /// The id of the user to ring; `userId` counts before
    to: Option<String>,
    #[schema(value_type = Object)]
    sdp: Value,
    /// `audio`, the default, or `video`
    kind: Option<String>,
}

/// Whether to take a call.
#[derive(ToSchema)]
#[schema(as = CallAnswer, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is read with all its spellings")]
struct Answer {
    call_id: String,
    accept: Option<bool>,
    /// The session description of WebRTC; needed to take the call
    #[schema(value_type = Option<Object>)]
    sdp: Option<Value>,
}

/// Takes a call.
#[derive(ToSchema)]
#[schema(as = OldCallAnswer, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is read with all its spellings")]
struct OldAnswer {
    call_id: String,
    #[schema(value_type = Object)]
    sdp: Value,
}

/// A way to reach this side.
#[derive(ToSchema)]
#[schema(as = OwnCandidate, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is read with all its spellings")]
struct Candidate {
    call_id: String,
    #[schema(value_type = Object)]
    candidate: Value,
}

/// Names a call.
#[derive(ToSchema)]
#[schema(as = NamedCall, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is read with all its spellings")]
struct Named {
    call_id: String,
}

/// The call as it is now.
#[derive(ToSchema)]
#[schema(as = CallAnswered)]
#[expect(dead_code, reason = "describes what is put together elsewhere")]
struct Accepted<'a> {
    #[schema(inline)]
    call: Call<'a>,
}

/// One of the two is in a call.
#[derive(ToSchema)]
#[schema(as = CallBusy)]
#[expect(dead_code, reason = "describes what is put together elsewhere")]
struct Busy {
    /// The id of the user who was to be rung
    to: String,
    error: String,
}

/// One of the two is in a call.
#[derive(ToSchema)]
#[schema(as = UnifiedCallBusy, rename_all = "camelCase")]
#[expect(dead_code, reason = "describes what is put together elsewhere")]
struct UnifiedBusy {
    /// The id of the user who was to be rung
    user_id: String,
    error: String,
}

/// Says which events about calls clients send, and how they are answered beside the acknowledgement.
pub(in crate::wire) fn events(events: &mut Events) {
    events.said::<Invitation, Accepted<'_>>(ALL, INVITE, "Rings somebody");
    events.said::<Answer, Accepted<'_>>(ALL, ANSWER, "Takes a call, or declines it");
    let candidate = "Tells the other side of a way to reach this one";
    events.said::<Candidate, Nothing>(ALL, CANDIDATE, candidate);
    events.said::<Named, Accepted<'_>>(ALL, HANGUP, "Hangs up");
    events.said::<Invitation, Accepted<'_>>(DESKTOP, OFFER, "The older name of `call:invite`");
    events.said::<OldAnswer, Accepted<'_>>(DESKTOP, OLD_ANSWER, "Takes a call");
    events.said::<Candidate, Nothing>(DESKTOP, ICE_CANDIDATE, candidate);
    events.said::<Named, Accepted<'_>>(DESKTOP, END, "Hangs up");
    let busy = "The direct answer to `call:invite` where one of the two is in a call";
    events.heard::<Busy>(BOTH, BUSY, busy);
    events.heard::<UnifiedBusy>(NEW, BUSY, busy);
    let failed = "The direct answer to an event about a call that failed";
    events.heard::<Failure<'_>>(ALL, ERROR, failed);
    let failed = "The direct answer to `call_offer` that failed";
    events.heard::<Failure<'_>>(ALL, OFFER_ERROR, failed);
}
