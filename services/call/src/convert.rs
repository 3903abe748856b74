//! Requests to validated input, documents to protobuf. Pure.

use bson::{Binary, spec::BinarySubtype};
use chat_kit::{
    caller::{Actor, Caller},
    id::UserId,
    session::SessionHash,
    time::to_timestamp,
};
use chat_proto::v1 as pb;
use serde::de::IgnoredAny;
use tonic::Status;

use crate::{
    config::Limits,
    end::HangUp,
    error::Error,
    history::{Cursor, Listed, Wanted},
    place::NewCall,
    state::{Call, CallId, EndReason, Ender, Kind, Party, Rung, State},
    store::calls::Held,
};

/// Bytes of the longest id of a socket or gateway.
const LONGEST_ID: usize = 64;
/// Sockets that one renewal may name.
const MOST_SOCKETS: usize = 1000;
/// Sessions on which one request may say that a call has rung.
const MOST_SESSIONS: usize = 100;

/// Reads who acts, from which socket.
pub(crate) fn party(caller: &Caller, socket_id: String) -> Result<Party, Status> {
    let Ender { user_id, session } = ender(caller)?;
    check_id("socket_id", &socket_id)?;
    Ok(Party { user_id, session, socket_id })
}

/// Reads who ends a call.
pub(crate) fn ender(caller: &Caller) -> Result<Ender, Status> {
    let user_id = caller.user_id()?;
    let Actor::User { session_id, .. } = &caller.actor else {
        return Err(Status::unauthenticated("a user is needed"));
    };
    let session = session_id.as_deref().map(|id| stored(SessionHash::of(id)));
    Ok(Ender { user_id, session })
}

/// Reads a call that is to be placed.
pub(crate) fn new_call(
    request: pb::PlaceCallRequest,
    caller: &Caller,
    limits: &Limits,
) -> Result<NewCall, Status> {
    let kind = match request.kind() {
        pb::CallKind::Audio => Kind::Audio,
        pb::CallKind::Video => Kind::Video,
        pb::CallKind::Unspecified => return Err(Error::Invalid("kind").into()),
    };
    let peer = request.callee_id.parse().map_err(|_| Error::InvalidId("callee_id"))?;
    let by = party(caller, request.socket_id)?;
    let offer = description(request.sdp, limits)?;
    Ok(NewCall { by, peer, offer, kind })
}

/// Reads a session description.
pub(crate) fn description(sdp: String, limits: &Limits) -> Result<String, Error> {
    json("sdp", sdp, limits.description_length.get())
}

/// Reads a candidate.
pub(crate) fn candidate(candidate: String, limits: &Limits) -> Result<String, Error> {
    json("candidate", candidate, limits.candidate_length.get())
}

/// Reads the text of a JSON value, as it is.
fn json(field: &'static str, text: String, most: usize) -> Result<String, Error> {
    if text.is_empty() {
        return Err(Error::Empty(field));
    }
    if text.len() > most {
        return Err(Error::TooLong { field, most });
    }
    // Whoever hears of it puts it into a larger one.
    serde_json::from_str::<IgnoredAny>(&text).map_err(|_| Error::NotJson(field))?;
    Ok(text)
}

/// Reads a hang-up.
pub(crate) fn hang_up(request: pb::EndCallRequest, caller: &Caller) -> Result<HangUp, Status> {
    let pb::EndCallRequest { call_id, socket_id, may_be_held } = request;
    let by = party(caller, socket_id)?;
    Ok(HangUp { call_id: call_id.parse()?, by, may_be_held })
}

/// Reads the sockets of a gateway. What is the id of no call is one that nobody needs.
pub(crate) fn held(
    request: pb::RenewCallsRequest,
) -> Result<(Vec<Held>, Vec<pb::CallSocket>), Error> {
    check_id("gateway_id", &request.gateway_id)?;
    if request.sockets.len() > MOST_SOCKETS {
        return Err(Error::TooMany { field: "sockets", most: MOST_SOCKETS });
    }
    let (mut held, mut unknown) = (Vec::new(), Vec::new());
    for socket in request.sockets {
        check_id("sockets", &socket.socket_id)?;
        match socket.call_id.parse::<CallId>() {
            Ok(call_id) => held.push(Held { call_id, socket_id: socket.socket_id }),
            Err(_) => unknown.push(socket),
        }
    }
    Ok((held, unknown))
}

/// Reads on which devices a call has rung; nothing for what is the id of no call.
pub(crate) fn rung(request: pb::NoteRungRequest) -> Result<Option<(CallId, Vec<Rung>)>, Error> {
    if request.session_hashes.len() > MOST_SESSIONS {
        return Err(Error::TooMany { field: "session_hashes", most: MOST_SESSIONS });
    }
    let rung = |hash: Vec<u8>| {
        let session = match SessionHash::read(&hash) {
            Some(hash) => Some(stored(hash)),
            None if hash.is_empty() => None,
            None => return Err(Error::Invalid("session_hashes")),
        };
        Ok(Rung { session, socket_id: None })
    };
    let rung = request.session_hashes.into_iter().map(rung).collect::<Result<Vec<_>, _>>()?;
    Ok(request.call_id.parse().ok().map(|id| (id, rung)))
}

fn stored(hash: SessionHash) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: hash.bytes().to_vec() }
}

/// Reads the id of a socket.
pub(crate) fn socket_id(id: String) -> Result<String, Error> {
    check_id("socket_id", &id)?;
    Ok(id)
}

fn check_id(field: &'static str, id: &str) -> Result<(), Error> {
    match id.len() {
        0 => Err(Error::Empty(field)),
        length if length > LONGEST_ID => Err(Error::TooLong { field, most: LONGEST_ID }),
        _ => Ok(()),
    }
}

/// Reads which page of a list is wanted.
pub(crate) fn wanted(request: pb::ListCallsRequest, limits: &Limits) -> Result<Wanted, Error> {
    let page = request.page.unwrap_or_default();
    let limit = match page.limit {
        0 => limits.page.get(),
        limit => limit,
    };
    let after = Some(page.cursor).filter(|cursor| !cursor.is_empty());
    let after = after.as_deref().map(Cursor::parse).transpose()?;
    Ok(Wanted { limit: limit.min(limits.largest_page.get()), after })
}

impl From<Listed> for pb::ListCallsResponse {
    fn from(listed: Listed) -> Self {
        let next_cursor = listed.next.map(|next| next.to_string()).unwrap_or_default();
        Self {
            calls: listed.calls.into_iter().map(Into::into).collect(),
            page: Some(pb::PageResponse { next_cursor }),
        }
    }
}

impl From<Held> for pb::CallSocket {
    fn from(held: Held) -> Self {
        Self { call_id: held.call_id.to_string(), socket_id: held.socket_id }
    }
}

impl From<Call> for pb::Call {
    fn from(call: Call) -> Self {
        let reason = call.end_reason.map_or(pb::CallEndReason::Unspecified, Into::into);
        Self {
            id: call.id.to_string(),
            caller_id: call.caller.user_id.to_string(),
            callee_id: call.callee.user_id.to_string(),
            kind: pb::CallKind::from(call.kind).into(),
            state: pb::CallState::from(call.state).into(),
            placed_at: Some(to_timestamp(call.placed_at)),
            answered_at: call.answered_at.map(to_timestamp),
            ended_at: call.ended_at.map(to_timestamp),
            end_reason: reason.into(),
            ended_by: call.ended_by.as_ref().map(UserId::to_string),
        }
    }
}

impl From<Kind> for pb::CallKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Audio => Self::Audio,
            Kind::Video => Self::Video,
        }
    }
}

impl From<State> for pb::CallState {
    fn from(state: State) -> Self {
        match state {
            State::Ringing => Self::Ringing,
            State::Answered => Self::Answered,
            State::Ended => Self::Ended,
        }
    }
}

impl From<EndReason> for pb::CallEndReason {
    fn from(reason: EndReason) -> Self {
        match reason {
            EndReason::HungUp => Self::HungUp,
            EndReason::Cancelled => Self::Cancelled,
            EndReason::Declined => Self::Declined,
            EndReason::Timeout => Self::Timeout,
            EndReason::Disconnect => Self::Disconnect,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn description_is_json_of_a_bounded_length() {
        let limits = Limits::default();
        let text = |text: &str| description(text.to_owned(), &limits);
        let given = r#"{"type":"offer",  "sdp":"v=0"}"#;
        assert_eq!(text(given).expect("JSON"), given);
        assert!(matches!(text(""), Err(Error::Empty("sdp"))));
        assert!(matches!(text("{\"type\":"), Err(Error::NotJson("sdp"))));
        let long = format!("\"{}\"", "x".repeat(65_535));
        assert!(matches!(text(&long), Err(Error::TooLong { field: "sdp", most: 65_536 })));
        text(&long[1..].replace('x', "1").replace('"', "")).expect("just not too long");
    }

    #[test]
    fn page_is_cut_to_the_largest() {
        let limits = Limits::default();
        for (asked, given) in [(0, 50), (7, 7), (1000, 200)] {
            let page = Some(pb::PageRequest { limit: asked, cursor: String::new() });
            let wanted = wanted(pb::ListCallsRequest { page }, &limits).expect("a page");
            assert_eq!((wanted.limit, wanted.after), (given, None));
        }
    }

    #[test]
    fn socket_of_what_is_no_call_is_released() {
        let socket = |call_id: &str| pb::CallSocket {
            call_id: call_id.to_owned(),
            socket_id: "s".to_owned(),
        };
        let id = CallId::random().expect("random").to_string();
        let request = |sockets| pb::RenewCallsRequest { gateway_id: "g".to_owned(), sockets };
        let (known, unknown) = held(request(vec![socket(&id), socket("nonsense")])).expect("read");
        assert_eq!(known.len(), 1);
        assert_eq!(unknown, [socket("nonsense")]);
        let many = vec![socket(&id); 1001];
        assert!(matches!(held(request(many)), Err(Error::TooMany { field: "sockets", .. })));
    }
}
