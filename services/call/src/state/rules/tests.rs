//! The rules, one by one, over a call that was placed at second 0.
#![expect(clippy::similar_names, reason = "a call has a caller and a callee")]

use bson::{Binary, spec::BinarySubtype};

use super::*;
use crate::state::{CallId, Kind, Side};

mod missed;

const SPANS: Spans = Spans {
    lease: Duration::from_secs(10),
    grace: Duration::from_secs(10),
    max_duration: Duration::from_hours(12),
    holds_hang_ups: true,
};
const CALLER: &str = "a1";
const CALLEE: &str = "b1";

fn at(seconds: f64) -> DateTime {
    after(DateTime::from_millis(1_769_847_330_000), Duration::from_secs_f64(seconds))
}

fn session(name: &str) -> Binary {
    Binary { subtype: BinarySubtype::Generic, bytes: name.as_bytes().to_vec() }
}

/// A call that was placed at 0.
fn ringing() -> Call {
    let side = |bound| Side {
        user_id: UserId::new(),
        session: Some(session("s")),
        bound,
        standby: None,
        rung: Vec::new(),
        candidates: Vec::new(),
        late: Vec::new(),
        candidate_count: 0,
    };
    let (caller, callee) = (side(Some(Socket::held(CALLER, at(10.0)))), side(None));
    Call {
        id: CallId::random().expect("random"),
        parties: [caller.user_id, callee.user_id],
        is_live: true,
        revision: 0,
        kind: Kind::Audio,
        state: State::Ringing,
        caller,
        callee,
        placed_at: at(0.0),
        answered_at: None,
        ended_at: None,
        end_reason: None,
        ended_by: None,
        ended_by_session: None,
        ring_until: Some(at(40.0)),
        ends_by: None,
        held_hang_up: None,
        due_at: None,
        offer: None,
        answer: None,
    }
}

/// A call that was answered at a second, and whose sockets stay.
fn answered(seconds: f64) -> Call {
    let mut call = ringing();
    call.state = State::Answered;
    call.ring_until = None;
    call.answered_at = Some(at(seconds));
    call.caller.bound = Some(Socket::held(CALLER, at(1000.0)));
    call.callee.bound = Some(Socket::held(CALLEE, at(1000.0)));
    call
}

/// A socket that has left, and whose grace lasts ten seconds.
fn gone(id: &str, left_at: DateTime) -> Socket {
    let held = Socket::held(id, after(left_at, SPANS.grace));
    Socket { is_detached: true, left_at: Some(left_at), ..held }
}

fn ended() -> Call {
    Call { state: State::Ended, is_live: false, ring_until: None, ..ringing() }
}

fn party(user_id: UserId, socket_id: &str) -> Party {
    Party { user_id, session: Some(session("s")), socket_id: socket_id.to_owned() }
}

fn ender(user_id: UserId) -> Ender {
    Ender { user_id, session: Some(session("s")) }
}

fn end(reason: EndReason, by: Option<UserId>) -> Step {
    super::end(reason, by.map(ender))
}

#[track_caller]
fn refused<T: std::fmt::Debug>(outcome: Result<T, Error>, reason: &str) {
    use chat_kit::error::ServiceError as _;
    assert_eq!(outcome.expect_err("refused").reason(), reason);
}

#[test]
fn callee_alone_answers_and_only_while_it_rings() {
    let call = ringing();
    let answer = |call: &Call, user, now| call.answer(&party(user, CALLEE), "{}", SPANS, at(now));
    let step = answer(&call, call.callee.user_id, 5.0).expect("answered");
    let expected = Step::Answer {
        session: Some(session("s")),
        socket: Socket::held(CALLEE, at(15.0)),
        answer: "{}".to_owned(),
        ends_by: at(43_205.0),
    };
    assert_eq!(step, Some(expected));
    refused(answer(&call, call.caller.user_id, 5.0), "forbidden");
    refused(answer(&call, UserId::new(), 5.0), "not_found");
    // The caller's socket was not renewed. Perhaps nobody could: it has left when somebody says so.
    assert_ne!(answer(&call, call.callee.user_id, 10.0).expect("answered"), None);
    let call = ended();
    refused(answer(&call, call.callee.user_id, 6.0), "call_ended");
}

#[test]
fn socket_that_has_the_call_alone_answers_again() {
    let mut call = answered(5.0);
    call.callee.standby = Some(Socket::held("b2", at(1000.0)));
    let callee = call.callee.user_id;
    let again = |socket| call.answer(&party(callee, socket), "{}", SPANS, at(6.0));
    assert_eq!(again(CALLEE).expect("nothing"), None);
    // Another window of the same session stands by, too.
    for socket in ["b2", "another"] {
        refused(again(socket), "already_answered");
    }
    refused(call.answer(&party(call.caller.user_id, CALLER), "{}", SPANS, at(6.0)), "forbidden");
}

#[test]
fn answer_after_the_ringing_is_refused() {
    let mut call = ringing();
    call.caller.bound = Some(Socket::held(CALLER, at(1000.0)));
    let by = party(call.callee.user_id, CALLEE);
    call.answer(&by, "{}", SPANS, at(39.999)).expect("answered");
    refused(call.answer(&by, "{}", SPANS, at(40.0)), "call_ended");
}

#[test]
fn callee_alone_declines_and_only_while_it_rings() {
    let call = ringing();
    let callee = call.callee.user_id;
    let declined = Step::End {
        reason: EndReason::Declined,
        by: Some(ender(callee)),
        event: EndEvent::Declined,
    };
    assert_eq!(call.decline(&ender(callee)).expect("declined"), Some(declined));
    refused(call.decline(&ender(call.caller.user_id)), "forbidden");
    refused(call.decline(&ender(UserId::new())), "not_found");
    let call = answered(5.0);
    refused(call.decline(&ender(call.callee.user_id)), "already_answered");
    let call = ended();
    assert_eq!(call.decline(&ender(call.callee.user_id)).expect("nothing"), None);
}

#[test]
fn any_socket_of_both_hangs_up_while_it_rings() {
    let call = ringing();
    let hang_up = |user, socket| call.hang_up(&party(user, socket), true, SPANS, at(5.0));
    let (caller, callee) = (call.caller.user_id, call.callee.user_id);
    for socket in [CALLER, "another"] {
        let cancelled = end(EndReason::Cancelled, Some(caller));
        assert_eq!(hang_up(caller, socket).expect("ended"), Some(cancelled));
    }
    let declined = end(EndReason::Declined, Some(callee));
    assert_eq!(hang_up(callee, "any").expect("ended"), Some(declined));
    refused(hang_up(UserId::new(), CALLER), "not_found");
}

#[test]
fn bound_sockets_alone_hang_up_and_add_candidates_after_the_answer() {
    let call = answered(5.0);
    let (caller, callee) = (call.caller.user_id, call.callee.user_id);
    for (user, socket, role) in [(caller, CALLER, Role::Caller), (callee, CALLEE, Role::Callee)] {
        let step = call.hang_up(&party(user, socket), false, SPANS, at(9.0)).expect("ended");
        assert_eq!(step, Some(end(EndReason::HungUp, Some(user))));
        assert_eq!(call.candidate(&party(user, socket)).expect("added"), role);
        refused(call.hang_up(&party(user, "another"), false, SPANS, at(9.0)), "forbidden");
        refused(call.candidate(&party(user, "another")), "forbidden");
    }
    refused(call.candidate(&party(UserId::new(), CALLER)), "not_found");
    let call = ended();
    let again = call.hang_up(&party(call.caller.user_id, CALLER), false, SPANS, at(9.0));
    assert_eq!(again.expect("nothing"), None);
    refused(call.candidate(&party(call.caller.user_id, CALLER)), "call_ended");
}

#[test]
fn every_socket_of_the_callee_adds_candidates_while_it_rings() {
    let call = ringing();
    let add = |user, socket| call.candidate(&party(user, socket));
    assert_eq!(add(call.callee.user_id, "any").expect("added"), Role::Callee);
    assert_eq!(add(call.caller.user_id, CALLER).expect("added"), Role::Caller);
    refused(add(call.caller.user_id, "another"), "forbidden");
}

#[test]
fn hang_up_of_the_callee_is_held_a_minute_after_the_invite() {
    for (now, is_held) in [(57.9, false), (58.0, true), (60.0, true), (75.0, true), (75.1, false)] {
        let call = answered(5.0);
        let user = call.callee.user_id;
        let step = call.hang_up(&party(user, CALLEE), true, SPANS, at(now)).expect("a step");
        let held = Step::HoldHangUp { until: at(now + 3.0) };
        let ended = end(EndReason::HungUp, Some(user));
        assert_eq!(step, Some(if is_held { held } else { ended }), "{now}");
    }
}

#[test]
fn nothing_else_is_held() {
    let now = at(60.0);
    let held = |call: &Call, user, socket, may_be_held, spans| {
        let step = call.hang_up(&party(user, socket), may_be_held, spans, now).expect("a step");
        matches!(step, Some(Step::HoldHangUp { .. }))
    };
    let call = answered(5.0);
    let (caller, callee) = (call.caller.user_id, call.callee.user_id);
    assert!(held(&call, callee, CALLEE, true, SPANS));
    assert!(!held(&call, caller, CALLER, true, SPANS), "the caller");
    assert!(!held(&call, callee, CALLEE, false, SPANS), "a client without such screens");
    let off = Spans { holds_hang_ups: false, ..SPANS };
    assert!(!held(&call, callee, CALLEE, true, off), "the rule is off");
    let fresh = answered(55.0);
    let user = fresh.callee.user_id;
    assert!(!held(&fresh, user, CALLEE, true, SPANS), "answered 5 s ago");
    let older = answered(54.9);
    assert!(held(&older, older.callee.user_id, CALLEE, true, SPANS), "answered before that");
}

/// A call of which a hang-up is held until second 63.
fn holding(is_dropped: bool) -> Call {
    let held = HeldHangUp { until: at(63.0), is_dropped };
    Call { held_hang_up: Some(held), ..answered(5.0) }
}

#[test]
fn second_and_third_hang_up_within_the_hold_are_dropped() {
    let call = holding(false);
    let callee = call.callee.user_id;
    let second = call.hang_up(&party(callee, CALLEE), true, SPANS, at(62.9)).expect("a step");
    assert_eq!(second, Some(Step::DropHangUps));
    let call = holding(true);
    let callee = call.callee.user_id;
    let third = call.hang_up(&party(callee, CALLEE), true, SPANS, at(62.9)).expect("no step");
    assert_eq!(third, None);
    // A later one is a new first, in the window and out of it.
    let later = call.hang_up(&party(callee, CALLEE), true, SPANS, at(63.0)).expect("a step");
    assert_eq!(later, Some(Step::HoldHangUp { until: at(66.0) }));
    let later = call.hang_up(&party(callee, CALLEE), true, SPANS, at(80.0)).expect("a step");
    assert_eq!(later, Some(end(EndReason::HungUp, Some(callee))));
    assert_eq!(call.due(at(63.0)), Some(Step::ForgetHangUps));
}

#[test]
fn held_hang_up_takes_effect_when_no_other_came() {
    let call = holding(false);
    let callee = call.callee.user_id;
    assert_eq!(call.due(at(62.9)), None);
    assert_eq!(call.due(at(63.0)), Some(end(EndReason::HungUp, Some(callee))));
    let late = call.hang_up(&party(callee, CALLEE), true, SPANS, at(63.0)).expect("a step");
    assert_eq!(late, Some(end(EndReason::HungUp, Some(callee))));
}

#[test]
fn any_other_end_cancels_a_hold() {
    for call in [holding(false), holding(true)] {
        let (caller, callee) = (call.caller.user_id, call.callee.user_id);
        for (user, socket, may_be_held) in [(caller, CALLER, true), (callee, CALLEE, false)] {
            let step =
                call.hang_up(&party(user, socket), may_be_held, SPANS, at(61.0)).expect("a step");
            assert_eq!(step, Some(end(EndReason::HungUp, Some(user))));
        }
    }
    let mut call = holding(false);
    call.caller.bound = Some(Socket::held(CALLER, at(61.0)));
    assert_eq!(call.due(at(61.0)), Some(end(EndReason::Disconnect, None)));
}

#[test]
fn call_rings_until_its_time_is_over() {
    let mut call = ringing();
    call.caller.bound = Some(Socket::held(CALLER, at(1000.0)));
    assert_eq!(call.due(at(39.999)), None);
    assert_eq!(call.due(at(40.0)), Some(end(EndReason::Timeout, None)));
}

#[test]
fn answered_call_ends_when_it_has_gone_on_for_too_long() {
    let mut call = answered(5.0);
    call.ends_by = Some(at(800.0));
    assert_eq!(call.due(at(799.999)), None);
    assert_eq!(call.due(at(800.0)), Some(end(EndReason::Disconnect, None)));
    call.caller.bound = Some(Socket { is_detached: true, ..Socket::held(CALLER, at(1000.0)) });
    let back = party(call.caller.user_id, "a2");
    assert_eq!(call.attach(&back, true, SPANS, at(800.0)).expect("it is over"), None);
}

#[test]
fn call_ends_when_a_bound_socket_has_left() {
    assert_eq!(ringing().due(at(9.9)), None);
    assert_eq!(ringing().due(at(10.0)), Some(end(EndReason::Disconnect, None)));
    let mut call = answered(5.0);
    call.callee.bound = Some(Socket::held(CALLEE, at(20.0)));
    assert_eq!(call.due(at(19.9)), None);
    assert_eq!(call.due(at(20.0)), Some(end(EndReason::Disconnect, None)));
    assert_eq!(ended().due(at(1000.0)), None);
}

#[test]
fn socket_of_the_session_takes_over_within_the_grace() {
    let mut call = answered(5.0);
    let callee = call.callee.user_id;
    let detached = call.detach(callee, CALLEE, Duration::ZERO, SPANS, at(6.0)).expect("a step");
    let (until, left_at) = (at(16.0), at(6.0));
    assert_eq!(detached, Some(Step::Detach { role: Role::Callee, until, left_at }));
    call.callee.bound = Some(gone(CALLEE, left_at));
    assert_eq!(call.detach(callee, CALLEE, Duration::ZERO, SPANS, at(7.0)).expect("known"), None);
    let new = party(callee, "b2");
    // After the grace, too, as long as nobody has said that the call is over.
    for now in [15.9, 16.0] {
        let held = Socket::held("b2", at(now + 10.0));
        let socket = Socket { unheard_since: Some(before(left_at, UNNOTICED)), ..held };
        let step = call.attach(&new, true, SPANS, at(now)).expect("a step");
        assert_eq!(step, Some(Step::Bind { role: Role::Callee, socket }));
    }
    let over = ended();
    assert_eq!(
        over.attach(&party(over.callee.user_id, "b2"), true, SPANS, at(9.0)).expect("over"),
        None
    );
    let stranger = Party { session: Some(session("t")), ..new.clone() };
    assert_eq!(call.attach(&stranger, true, SPANS, at(7.0)).expect("another session"), None);
    let stranger = Party { session: None, ..new };
    assert_eq!(call.attach(&stranger, true, SPANS, at(7.0)).expect("no session"), None);
}

#[test]
fn socket_that_has_long_heard_nothing_has_left_then_and_is_waited_for_from_now_on() {
    let call = answered(5.0);
    let caller = call.caller.user_id;
    for (unheard, left) in [(0.0, 90.0), (20.0, 70.0), (45.0, 45.0), (45.1, 45.0), (1e6, 45.0)] {
        let unheard = Duration::from_secs_f64(unheard);
        let detached = call.detach(caller, CALLER, unheard, SPANS, at(90.0)).expect("a step");
        let (until, left_at) = (at(100.0), at(left));
        assert_eq!(detached, Some(Step::Detach { role: Role::Caller, until, left_at }));
    }
}

#[test]
fn socket_that_comes_early_stands_by() {
    let mut call = answered(5.0);
    let callee = call.callee.user_id;
    let unnoticed = before(at(6.0), UNNOTICED);
    let socket = Socket { unheard_since: Some(unnoticed), ..Socket::held("b2", at(16.0)) };
    let step = call.attach(&party(callee, "b2"), true, SPANS, at(6.0)).expect("a step");
    assert_eq!(step, Some(Step::StandBy { role: Role::Callee, socket: socket.clone() }));
    call.callee.standby = Some(socket.clone());
    // It acts like the bound one.
    let hang_up = call.hang_up(&party(callee, "b2"), false, SPANS, at(7.0)).expect("ended");
    assert_eq!(hang_up, Some(end(EndReason::HungUp, Some(callee))));
    assert_eq!(call.candidate(&party(callee, "b2")).expect("added"), Role::Callee);
    // It takes over when that one goes, said or not, and goes itself without a trace.
    let bind = Step::Bind { role: Role::Callee, socket };
    let gone = call.detach(callee, CALLEE, Duration::ZERO, SPANS, at(8.0)).expect("a step");
    assert_eq!(gone.as_ref(), Some(&bind));
    call.callee.bound = Some(Socket::held(CALLEE, at(12.0)));
    assert_eq!(call.due(at(12.0)), Some(bind));
    assert_eq!(call.due(at(16.0)), Some(end(EndReason::Disconnect, None)));
    let gone = call.detach(callee, "b2", Duration::ZERO, SPANS, at(8.0)).expect("a step");
    assert_eq!(gone, Some(Step::StandDown { role: Role::Callee }));
}

#[test]
fn idle_device_of_a_party_is_nothing_to_the_call() {
    let call = answered(5.0);
    let caller = call.caller.user_id;
    assert_eq!(call.detach(caller, "idle", Duration::ZERO, SPANS, at(6.0)).expect("nothing"), None);
    let ringing = ringing();
    let callee = ringing.callee.user_id;
    assert_eq!(
        ringing.detach(callee, "idle", Duration::ZERO, SPANS, at(6.0)).expect("nothing"),
        None
    );
    let attached = ringing.attach(&party(callee, "idle"), true, SPANS, at(6.0));
    assert_eq!(attached.expect("nothing"), None, "who has not answered is bound to nothing");
}
