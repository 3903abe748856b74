//! What sockets hear of a call. The old families know the same names; new clients hear them with one
//! spelling of whom they are about.

use std::cell::OnceCell;

use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::ToSchema;

use super::Frame;
use crate::{
    openapi::{ALL, BOTH, Events, NEW},
    wire::{Dialect, call::kind},
};

/// Why a device that did not answer is to stop ringing, in place of who ended the call.
const ANSWERED_ELSEWHERE: &str = "answered_elsewhere";

/// What is told of a call. Descriptions and candidates are JSON as text.
#[derive(Clone, Copy, Debug)]
pub enum News<'a> {
    /// To the callee: somebody rings, with this description.
    Incoming(&'a pb::Call, &'a str),
    /// To the caller: it rings.
    Ringing(&'a pb::Call),
    /// To the caller: the callee has answered, with this description.
    Answer(&'a pb::Call, &'a str),
    /// To the callee's other devices: one has answered.
    AnsweredElsewhere(&'a pb::Call),
    /// The other side can be reached in one more way.
    Candidate {
        /// The call.
        call_id: &'a str,
        /// The other side.
        user_id: &'a str,
        /// The way.
        candidate: &'a str,
    },
    /// To both: the callee has declined.
    Declined {
        /// The call.
        call_id: &'a str,
        /// The callee.
        user_id: &'a str,
    },
    /// To both: it is over.
    Ended {
        /// The call.
        call_id: &'a str,
        /// Who ended it, or what did.
        by: &'a str,
    },
}

/// News of a call on their way to sockets, encoded once per spelling.
pub struct CallNews<'a> {
    news: News<'a>,
    old: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
}

/// A session description of the other side.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallDescribed)]
struct Described<'a> {
    call_id: &'a str,
    /// The id of the other side
    from: &'a str,
    #[schema(value_type = Object)]
    sdp: &'a RawValue,
    kind: &'static str,
}

/// A session description of the other side, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedCallDescribed)]
struct UnifiedDescribed<'a> {
    call_id: &'a str,
    /// The id of the other side
    user_id: &'a str,
    #[schema(value_type = Object)]
    sdp: &'a RawValue,
    kind: &'static str,
}

/// A call rings.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallRinging)]
struct Ringing<'a> {
    call_id: &'a str,
    /// The id of the other side
    to: &'a str,
    kind: &'static str,
}

/// A call rings, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedCallRinging)]
struct UnifiedRinging<'a> {
    call_id: &'a str,
    /// The id of the other side
    user_id: &'a str,
    kind: &'static str,
}

/// A way to reach the other side.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallCandidate)]
struct Way<'a> {
    call_id: &'a str,
    /// The id of the other side
    from: &'a str,
    #[schema(value_type = Object)]
    candidate: &'a RawValue,
}

/// A way to reach the other side, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedCallCandidate)]
struct UnifiedWay<'a> {
    call_id: &'a str,
    /// The id of the other side
    user_id: &'a str,
    #[schema(value_type = Object)]
    candidate: &'a RawValue,
}

/// A call was declined.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallDeclined)]
struct Declined<'a> {
    call_id: &'a str,
    /// The id of the callee
    from: &'a str,
}

/// A call was declined, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedCallDeclined)]
struct UnifiedDeclined<'a> {
    call_id: &'a str,
    /// The id of the callee
    user_id: &'a str,
}

/// A call is over.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CallOver)]
struct Over<'a> {
    call_id: &'a str,
    /// The id of the user who hung up, `timeout`, `disconnect`, or `answered_elsewhere`
    #[schema(pattern = "^.+$")]
    by: &'a str,
}

/// Says which events bring news of calls.
pub(super) fn events(events: &mut Events) {
    let incoming = "Somebody rings";
    events.heard::<Described<'_>>(BOTH, "call:incoming", incoming);
    events.heard::<UnifiedDescribed<'_>>(NEW, "call:incoming", incoming);
    let ringing = "The callee's devices ring; comes before all else of a call, to all devices";
    events.heard::<Ringing<'_>>(BOTH, "call:ringing", ringing);
    events.heard::<UnifiedRinging<'_>>(NEW, "call:ringing", ringing);
    let answer = "The callee has answered; comes before his candidates, to all devices";
    events.heard::<Described<'_>>(BOTH, "call:answer", answer);
    events.heard::<UnifiedDescribed<'_>>(NEW, "call:answer", answer);
    let candidate = "A way to reach the other side; after the answer";
    events.heard::<Way<'_>>(BOTH, "call:candidate", candidate);
    events.heard::<UnifiedWay<'_>>(NEW, "call:candidate", candidate);
    let declined = "The callee has declined; to all devices of both";
    events.heard::<Declined<'_>>(BOTH, "call:declined", declined);
    events.heard::<UnifiedDeclined<'_>>(NEW, "call:declined", declined);
    let ended = "The call is over, or goes on at another device of the callee";
    events.heard::<Over<'_>>(ALL, "call:ended", ended);
}

impl<'a> CallNews<'a> {
    /// Wraps news; nothing is encoded yet.
    #[must_use]
    pub fn new(news: News<'a>) -> Self {
        Self { news, old: OnceCell::new(), unified: OnceCell::new() }
    }

    /// Returns the news.
    #[must_use]
    pub fn news(&self) -> News<'a> {
        self.news
    }

    /// Returns what a socket hears.
    pub fn frame(&self, dialect: Dialect) -> serde_json::Result<Frame<'_>> {
        let is_unified = dialect == Dialect::Unified;
        let cell = if is_unified { &self.unified } else { &self.old };
        if let Some(encoded) = cell.get() {
            return Ok((self.news.name(), encoded));
        }
        let encoded = if is_unified { self.news.unified_body()? } else { self.news.old_body()? };
        Ok((self.news.name(), cell.get_or_init(|| encoded)))
    }
}

impl<'a> News<'a> {
    /// Returns the id of the call.
    #[must_use]
    pub fn call_id(&self) -> &'a str {
        match *self {
            Self::Incoming(call, _)
            | Self::Ringing(call)
            | Self::Answer(call, _)
            | Self::AnsweredElsewhere(call) => &call.id,
            Self::Candidate { call_id, .. }
            | Self::Declined { call_id, .. }
            | Self::Ended { call_id, .. } => call_id,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Incoming(..) => "call:incoming",
            Self::Ringing(_) => "call:ringing",
            Self::Answer(..) => "call:answer",
            Self::Candidate { .. } => "call:candidate",
            Self::Declined { .. } => "call:declined",
            Self::AnsweredElsewhere(_) | Self::Ended { .. } => "call:ended",
        }
    }

    fn old_body(&self) -> serde_json::Result<Box<RawValue>> {
        match *self {
            Self::Incoming(call, sdp) => {
                let (from, sdp) = (call.caller_id.as_str(), serde_json::from_str(sdp)?);
                to_raw_value(&Described { call_id: &call.id, from, sdp, kind: kind(call) })
            }
            Self::Answer(call, sdp) => {
                let (from, sdp) = (call.callee_id.as_str(), serde_json::from_str(sdp)?);
                to_raw_value(&Described { call_id: &call.id, from, sdp, kind: kind(call) })
            }
            Self::Ringing(call) => {
                let to = call.callee_id.as_str();
                to_raw_value(&Ringing { call_id: &call.id, to, kind: kind(call) })
            }
            Self::Candidate { call_id, user_id, candidate } => {
                let candidate = serde_json::from_str(candidate)?;
                to_raw_value(&Way { call_id, from: user_id, candidate })
            }
            Self::Declined { call_id, user_id } => {
                to_raw_value(&Declined { call_id, from: user_id })
            }
            Self::AnsweredElsewhere(call) => {
                to_raw_value(&Over { call_id: &call.id, by: ANSWERED_ELSEWHERE })
            }
            Self::Ended { call_id, by } => to_raw_value(&Over { call_id, by }),
        }
    }

    fn unified_body(&self) -> serde_json::Result<Box<RawValue>> {
        match *self {
            Self::Incoming(call, sdp) => {
                let (user_id, sdp) = (call.caller_id.as_str(), serde_json::from_str(sdp)?);
                let (call_id, kind) = (call.id.as_str(), kind(call));
                to_raw_value(&UnifiedDescribed { call_id, user_id, sdp, kind })
            }
            Self::Answer(call, sdp) => {
                let (user_id, sdp) = (call.callee_id.as_str(), serde_json::from_str(sdp)?);
                let (call_id, kind) = (call.id.as_str(), kind(call));
                to_raw_value(&UnifiedDescribed { call_id, user_id, sdp, kind })
            }
            Self::Ringing(call) => {
                let user_id = call.callee_id.as_str();
                to_raw_value(&UnifiedRinging { call_id: &call.id, user_id, kind: kind(call) })
            }
            Self::Candidate { call_id, user_id, candidate } => {
                let candidate = serde_json::from_str(candidate)?;
                to_raw_value(&UnifiedWay { call_id, user_id, candidate })
            }
            Self::Declined { call_id, user_id } => {
                to_raw_value(&UnifiedDeclined { call_id, user_id })
            }
            Self::AnsweredElsewhere(call) => {
                to_raw_value(&Over { call_id: &call.id, by: ANSWERED_ELSEWHERE })
            }
            Self::Ended { call_id, by } => to_raw_value(&Over { call_id, by }),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn heard(news: News<'_>, dialect: Dialect) -> (&'static str, Value) {
        let news = CallNews::new(news);
        let (name, body) = news.frame(dialect).expect("encodable");
        (name, serde_json::from_str(body.get()).expect("JSON"))
    }

    #[test]
    fn every_family_hears_its_spelling() {
        let call = pb::Call {
            id: "c".to_owned(),
            caller_id: "a".to_owned(),
            callee_id: "b".to_owned(),
            kind: pb::CallKind::Video.into(),
            ..Default::default()
        };
        let (call_id, sdp) = ("c", r#"{"type":"offer","sdp":"v=0"}"#);
        let described = json!({ "type": "offer", "sdp": "v=0" });
        let candidate = r#"{"candidate":"","sdpMid":null}"#;
        for (news, name, old, unified) in [
            (
                News::Incoming(&call, sdp),
                "call:incoming",
                json!({ "callId": "c", "from": "a", "sdp": described, "kind": "video" }),
                json!({ "callId": "c", "userId": "a", "sdp": described, "kind": "video" }),
            ),
            (
                News::Ringing(&call),
                "call:ringing",
                json!({ "callId": "c", "to": "b", "kind": "video" }),
                json!({ "callId": "c", "userId": "b", "kind": "video" }),
            ),
            (
                News::Answer(&call, sdp),
                "call:answer",
                json!({ "callId": "c", "from": "b", "sdp": described, "kind": "video" }),
                json!({ "callId": "c", "userId": "b", "sdp": described, "kind": "video" }),
            ),
            (
                News::AnsweredElsewhere(&call),
                "call:ended",
                json!({ "callId": "c", "by": "answered_elsewhere" }),
                json!({ "callId": "c", "by": "answered_elsewhere" }),
            ),
            (
                News::Candidate { call_id, user_id: "b", candidate },
                "call:candidate",
                json!({ "callId": "c", "from": "b", "candidate": { "candidate": "", "sdpMid": null } }),
                json!({ "callId": "c", "userId": "b", "candidate": { "candidate": "", "sdpMid": null } }),
            ),
            (
                News::Declined { call_id, user_id: "b" },
                "call:declined",
                json!({ "callId": "c", "from": "b" }),
                json!({ "callId": "c", "userId": "b" }),
            ),
            (
                News::Ended { call_id, by: "timeout" },
                "call:ended",
                json!({ "callId": "c", "by": "timeout" }),
                json!({ "callId": "c", "by": "timeout" }),
            ),
        ] {
            for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
                assert_eq!(heard(news, dialect), (name, old.clone()), "{dialect:?}");
            }
            assert_eq!(heard(news, Dialect::Unified), (name, unified), "unified");
        }
    }

    #[test]
    fn description_is_handed_on_as_it_was_written() {
        let (call, sdp) = (pb::Call::default(), r#"{ "sdp":"v=0\r\n", "type":"offer", "x":1.50 }"#);
        let news = CallNews::new(News::Incoming(&call, sdp));
        let (_, body) = news.frame(Dialect::Flutter).expect("encodable");
        assert!(body.get().contains(sdp), "{body}");
    }

    #[test]
    fn body_is_encoded_once_for_all_of_a_family() {
        let news = CallNews::new(News::Ended { call_id: "c", by: "timeout" });
        let body = |dialect| std::ptr::from_ref(news.frame(dialect).expect("encodable").1);
        assert!(std::ptr::addr_eq(body(Dialect::Flutter), body(Dialect::Electron)));
        assert!(!std::ptr::addr_eq(body(Dialect::Flutter), body(Dialect::Unified)));
    }
}
