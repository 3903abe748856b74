//! What a socket that comes has missed.

use super::*;

/// What a new socket of a party has missed, at a second, once the call has taken note of it; its client may
/// hear something twice.
fn told(call: &Call, by: &Party, now: f64) -> Option<Missed> {
    noted(call, by, true, now).missed(by, false, at(now))
}

/// The same where its client must hear nothing twice.
fn told_once(call: &Call, by: &Party, now: f64) -> Option<Missed> {
    noted(call, by, false, now).missed(by, false, at(now))
}

/// A call that has taken note of a new socket, whose client may hear something twice or not.
fn noted(call: &Call, by: &Party, may_repeat: bool, now: f64) -> Call {
    let mut call = call.clone();
    match call.attach(by, may_repeat, SPANS, at(now)).expect("a party") {
        Some(Step::Bind { role: Role::Caller, socket }) => call.caller.bound = Some(socket),
        Some(Step::Bind { role: Role::Callee, socket }) => call.callee.bound = Some(socket),
        Some(Step::StandBy { role: Role::Caller, socket }) => call.caller.standby = Some(socket),
        Some(Step::StandBy { role: Role::Callee, socket }) => call.callee.standby = Some(socket),
        None => {}
        other => panic!("{other:?}"),
    }
    call
}

fn rung(name: &str, socket: Option<&str>) -> Rung {
    Rung { session: Some(session(name)), socket_id: socket.map(str::to_owned) }
}

#[test]
fn callee_is_told_of_a_call_that_rings_wherever_it_has_not() {
    let mut call = ringing();
    let (caller, callee) = (call.caller.user_id, call.callee.user_id);
    let new = party(callee, "b2");
    assert_eq!(told(&call, &new, 5.0), Some(Missed::Ring));
    assert_eq!(told(&call, &party(caller, "a2"), 5.0), None, "the caller");
    // It has rung for another session, and for an old socket without one.
    call.callee.rung = vec![rung("t", None), Rung { session: None, socket_id: None }];
    assert_eq!(told(&call, &new, 5.0), Some(Missed::Ring));
    let old = Party { session: None, ..new.clone() };
    assert_eq!(told(&call, &old, 5.0), None, "no session is one, too");
    call.callee.rung.push(rung("s", Some("b2")));
    assert_eq!(told(&call, &new, 5.0), Some(Missed::Ring), "the same socket asks again");
    for known in [rung("s", None), rung("s", Some("b1"))] {
        let mut call = call.clone();
        call.callee.rung.push(known);
        assert_eq!(told(&call, &new, 5.0), None);
        assert_eq!(call.missed(&new, true, at(5.0)), Some(Missed::Ring), "it may be repeated");
    }
    call.caller.bound = Some(Socket::held(CALLER, at(1000.0)));
    assert_eq!(call.missed(&new, true, at(40.0)), None, "it is over");
}

#[test]
fn caller_who_left_before_the_answer_or_just_after_it_is_told_of_it() {
    for (left, expected) in
        [(4.0, Missed::Answer), (6.0, Missed::Answer), (6.1, Missed::Candidates)]
    {
        let mut call = answered(5.0);
        call.caller.bound = Some(gone(CALLER, at(left)));
        let back = party(call.caller.user_id, "a2");
        assert_eq!(told_once(&call, &back, 9.0), Some(expected), "{left}");
        let again = noted(&call, &back, false, 9.0);
        assert_eq!(told_once(&again, &back, 60.0), Some(expected), "{left}, asked again");
    }
}

#[test]
fn caller_whose_loss_was_noticed_late_is_told_of_the_answer_where_he_may_hear_it_twice() {
    for (left, expected) in
        [(40.0, Missed::Answer), (51.0, Missed::Answer), (51.1, Missed::Candidates)]
    {
        let mut call = answered(5.0);
        call.caller.bound = Some(gone(CALLER, at(left)));
        let back = party(call.caller.user_id, "a2");
        assert_eq!(told(&call, &back, 55.0), Some(expected), "{left}");
        assert_eq!(told_once(&call, &back, 55.0), Some(Missed::Candidates), "{left}");
    }
}

#[test]
fn caller_who_may_be_gone_unnoticed_is_told_of_the_answer() {
    let call = answered(5.0);
    let back = party(call.caller.user_id, "a2");
    assert_eq!(told(&call, &back, 51.0), Some(Missed::Answer));
    assert_eq!(told(&call, &back, 51.1), Some(Missed::Candidates));
}

#[test]
fn old_client_that_may_have_heard_an_answer_is_not_told_again() {
    let call = answered(5.0);
    let back = party(call.caller.user_id, "a2");
    for now in [5.1, 6.1] {
        let noted = noted(&call, &back, false, now);
        assert_eq!(noted.missed(&back, false, at(now)), Some(Missed::Candidates), "{now}");
    }
}

#[test]
fn callee_who_comes_back_is_told_of_candidates_alone() {
    let mut call = answered(5.0);
    let back = party(call.callee.user_id, "b2");
    assert_eq!(told(&call, &back, 6.0), Some(Missed::Candidates), "it stands by");
    call.callee.bound = Some(gone(CALLEE, at(5.0)));
    assert_eq!(told(&call, &back, 6.0), Some(Missed::Candidates), "it takes over");
}

#[test]
fn other_devices_of_the_callee_are_told_for_a_minute_that_one_has_answered() {
    let call = answered(5.0);
    let other = |user| Party { session: Some(session("t")), ..party(user, "another") };
    for may_repeat in [false, true] {
        let missed = |user, now| call.missed(&other(user), may_repeat, at(now));
        assert_eq!(missed(call.callee.user_id, 64.9), Some(Missed::Elsewhere));
        assert_eq!(missed(call.callee.user_id, 65.0), None, "none rings for longer");
        assert_eq!(missed(call.caller.user_id, 6.0), None);
    }
}

#[test]
fn sockets_that_were_there_have_missed_nothing() {
    let call = answered(5.0);
    let (caller, callee) = (call.caller.user_id, call.callee.user_id);
    for (user, socket) in [(caller, CALLER), (callee, CALLEE)] {
        assert_eq!(told(&call, &party(user, socket), 6.0), None);
    }
    assert_eq!(call.missed(&party(UserId::new(), CALLER), true, at(6.0)), None, "a stranger");
}

#[test]
fn end_is_told_for_a_minute_but_not_in_the_session_that_made_it() {
    let call = Call { ended_at: Some(at(20.0)), ..ended() };
    let (caller, callee) = (call.caller.user_id, call.callee.user_id);
    let by_callee =
        |session| Call { ended_by: Some(callee), ended_by_session: session, ..call.clone() };
    let (one, other) = (Some(session("s")), Some(session("t")));
    for (call, user, session, expected) in [
        (call.clone(), caller, &one, Some(Missed::End)),
        (call.clone(), callee, &one, Some(Missed::End)),
        (call.clone(), callee, &None, Some(Missed::End)),
        (by_callee(one.clone()), caller, &one, Some(Missed::End)),
        (by_callee(one.clone()), callee, &one, None),
        (by_callee(one.clone()), callee, &other, Some(Missed::End)),
        (by_callee(one.clone()), callee, &None, Some(Missed::End)),
        (by_callee(None), callee, &one, Some(Missed::End)),
        (by_callee(None), callee, &None, None),
    ] {
        let any = Party { session: session.clone(), ..party(user, "any") };
        assert_eq!(call.missed(&any, false, at(79.9)), expected, "{any:?} of {call:?}");
        assert_eq!(call.missed(&any, false, at(80.0)), None);
    }
}

#[test]
fn hang_up_that_was_held_is_of_the_session_that_had_answered() {
    let mut call = answered(5.0);
    call.callee.session = Some(session("t"));
    call.held_hang_up = Some(HeldHangUp { until: at(63.0), is_dropped: false });
    let by = Ender { user_id: call.callee.user_id, session: Some(session("t")) };
    assert_eq!(call.due(at(63.0)), Some(super::super::end(EndReason::HungUp, Some(by))));
}
