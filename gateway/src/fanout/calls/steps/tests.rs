use chat_kit::time::{after, to_timestamp};

use super::*;

fn call(id: &str) -> pb::Call {
    let placed_at = Some(to_timestamp(DateTime::now()));
    pb::Call { id: id.to_owned(), placed_at, ..Default::default() }
}

fn place(steps: &mut Steps, call: &pb::Call) -> bool {
    let now = DateTime::now();
    steps.place(call, after(now, Duration::from_secs(40)), now)
}

fn late(id: &str, rings_until: DateTime) -> Late {
    let rings_until = Some(to_timestamp(rings_until));
    let placed = pb::CallPlaced { call: Some(call(id)), rings_until, ..Default::default() };
    Late { placed, recipients: Arc::default() }
}

fn candidate(call_id: &str, number: i64) -> Held {
    let added = pb::CandidateAdded { call_id: call_id.to_owned(), number, ..Default::default() };
    Held { added, recipients: Arc::default() }
}

fn numbers(held: impl IntoIterator<Item = Held>) -> Vec<i64> {
    held.into_iter().map(|held| held.added.number).collect()
}

#[test]
fn steps_of_a_call_are_told_once_and_in_order() {
    let (mut steps, call) = (Steps::default(), call("a"));
    assert!(place(&mut steps, &call));
    assert!(!place(&mut steps, &call), "again");
    assert_eq!(steps.answer(&call), Some(Before { ringing: false }));
    assert_eq!(steps.answer(&call), None, "again");
    assert_eq!(steps.end(&call), Some(Before { ringing: false }));
    assert_eq!(steps.end(&call), None, "again");
    assert_eq!(steps.answer(&call), None, "after the end");
}

#[test]
fn what_overtakes_the_beginning_brings_the_ringing_and_ends_it() {
    let (mut steps, one, other) = (Steps::default(), call("a"), call("b"));
    assert_eq!(steps.answer(&one), Some(Before { ringing: true }));
    assert!(!place(&mut steps, &one), "nobody is to ring for what is answered");
    assert_eq!(steps.end(&other), Some(Before { ringing: true }));
    assert!(!place(&mut steps, &other), "nor for what is over");
    let old = before(DateTime::now(), 2 * SETTLED_AFTER);
    let old = pb::Call { placed_at: Some(to_timestamp(old)), ..call("c") };
    assert_eq!(steps.end(&old), Some(Before { ringing: false }), "it rang before our time");
}

#[test]
fn nobody_rings_for_a_call_whose_time_is_over() {
    let (mut steps, call, now) = (Steps::default(), call("a"), DateTime::now());
    assert!(!steps.place(&call, now, now));
    assert_eq!(steps.end(&call), Some(Before { ringing: true }), "the caller hears all of it");
}

#[test]
fn call_that_waited_rings_unless_it_was_answered_is_over_or_too_old() {
    let (mut steps, now) = (Steps::default(), DateTime::now());
    let soon = after(now, Duration::from_secs(40));
    for id in ["rings", "answered", "over"] {
        assert!(steps.place(&call(id), soon, now));
        assert!(steps.ring_later(late(id, soon)).is_none());
    }
    assert!(steps.ring_later(late("old", now)).is_none());
    steps.answer(&call("answered"));
    steps.end(&call("over"));
    let ringing = steps.take_late(now);
    let ids = ringing.iter().map(|late| late.placed.call.as_ref().expect("a call").id.as_str());
    assert!(ids.eq(["rings"]));
    assert!(steps.take_late(now).is_empty(), "once");
    for _ in 0..MOST_LATE {
        assert!(steps.ring_later(late("many", soon)).is_none());
    }
    assert!(steps.ring_later(late("more", soon)).is_some());
}

#[test]
fn candidate_waits_for_the_answer() {
    let (mut steps, call, now) = (Steps::default(), call("a"), Instant::now());
    place(&mut steps, &call);
    for number in [1, 2] {
        assert!(steps.admit(candidate("a", number), now).is_none());
    }
    assert_eq!(steps.next_wait(), Some(now + HOLD));
    steps.answer(&call).expect("news");
    assert_eq!(numbers(steps.take_held("a")), [1, 2]);
    assert_eq!(numbers(steps.admit(candidate("a", 3), now)), [3]);
    assert!(steps.take_due(false, now + HOLD).is_empty(), "it was answered in time");
    assert_eq!((steps.held, steps.next_wait()), (0, None));
    steps.end(&call);
    assert!(steps.admit(candidate("a", 4), now).is_none(), "after the end");
}

#[test]
fn candidate_waits_on_where_the_answer_is_still_to_come() {
    let (mut steps, call, now) = (Steps::default(), call("a"), Instant::now());
    place(&mut steps, &call);
    assert!(steps.admit(candidate("a", 1), now).is_none());
    assert!(steps.take_due(false, now + HOLD).is_empty());
    assert_eq!(steps.next_wait(), Some(now + 2 * HOLD));
    steps.answer(&call).expect("late, and news");
    assert_eq!(numbers(steps.take_held("a")), [1]);
    assert!(steps.take_due(false, now + 2 * HOLD).is_empty());
    assert_eq!((steps.held, steps.next_wait()), (0, None));
}

#[test]
fn candidate_does_not_wait_for_ever() {
    let (mut steps, now) = (Steps::default(), Instant::now());
    for (id, at) in [("a", LONGEST_HOLD), ("b", HOLD)] {
        place(&mut steps, &call(id));
        assert!(steps.admit(candidate(id, 1), now).is_none());
        if id == "b" {
            steps.doubt();
        } else {
            assert!(steps.take_due(false, now + at - HOLD).is_empty());
        }
        assert_eq!(numbers(steps.take_due(false, now + at)), [1], "{id}");
        assert_eq!(numbers(steps.admit(candidate(id, 2), now)), [2], "{id}");
    }
}

#[test]
fn candidate_of_a_call_that_was_answered_before_our_time_waits_once() {
    let (mut steps, now) = (Steps::default(), Instant::now());
    assert!(steps.admit(candidate("a", 5), now).is_none());
    assert!(steps.take_due(false, now).is_empty());
    assert!(steps.take_due(true, now + HOLD).is_empty(), "the answer may be read again");
    assert_eq!(numbers(steps.take_due(false, now + 2 * HOLD)), [5]);
    assert_eq!(numbers(steps.admit(candidate("a", 6), now)), [6]);
    assert_eq!(steps.held, 0);
}

#[test]
fn answer_that_comes_after_its_candidates_is_told() {
    let (mut steps, call, now) = (Steps::default(), call("a"), Instant::now());
    assert!(steps.admit(candidate("a", 1), now).is_none());
    assert_eq!(numbers(steps.take_due(false, now + HOLD)), [1]);
    assert_eq!(steps.answer(&call), Some(Before { ringing: true }));
    assert_eq!(steps.answer(&call), None, "again");
}

#[test]
fn end_drops_what_waits() {
    let (mut steps, call, now) = (Steps::default(), call("a"), Instant::now());
    assert!(steps.admit(candidate("a", 1), now).is_none());
    steps.end(&call);
    assert!(steps.take_due(false, now + HOLD).is_empty());
    assert_eq!((steps.held, steps.next_wait()), (0, None));
}

#[test]
fn no_more_wait_than_there_is_room_for() {
    let (mut steps, now) = (Steps::default(), Instant::now());
    for number in 0..MOST_HELD {
        assert!(steps.admit(candidate(&(number % 7).to_string(), 1), now).is_none());
    }
    assert_eq!(numbers(steps.admit(candidate("0", 9), now)), [9]);
}

#[test]
fn longest_known_call_goes() {
    let (mut steps, now) = (Steps::default(), Instant::now());
    assert!(steps.admit(candidate("first", 1), now).is_none());
    for id in 0..MOST {
        assert!(place(&mut steps, &call(&id.to_string())));
    }
    assert_eq!((steps.known.len(), steps.order.len(), steps.held), (MOST, MOST, 0));
    assert!(steps.take_due(false, now + HOLD).is_empty());
}
