use chat_kit::time::after;
use serde_json::value::to_raw_value;

use super::*;

const RINGS: Step = Step::To(Stage::Placed);
const ANSWERED: Step = Step::To(Stage::Answered);
const OVER: Step = Step::To(Stage::Over);

/// Returns news of a call, of calls in the order of their ids.
fn news(call_id: &str, step: Step, body: &str) -> Waiting {
    let body = to_raw_value(body).expect("JSON");
    let placed_at = placed(call_id).filter(|_| step != OVER && step != Step::Candidate);
    Waiting { call_id: call_id.to_owned(), placed_at, step, is_incoming: false, name: "name", body }
}

fn placed(call_id: &str) -> Option<DateTime> {
    call_id.bytes().next().map(|first| DateTime::from_millis(first.into()))
}

/// Returns the bodies of what a client hears when a line opens on which these wait.
fn opened_to(
    dialect: Dialect,
    waiting: Vec<Waiting>,
    missed: Vec<Waiting>,
    needed_by: Option<&str>,
) -> String {
    let mut heard = Heard { waiting: Some(waiting), told: VecDeque::new() };
    let told = heard.open(missed, needed_by, dialect);
    assert!(heard.waiting.is_none());
    let said = |(over, news): &(Vec<String>, Waiting)| {
        let over = over.iter().map(|call_id| "end-of-".to_owned() + call_id + " ");
        over.collect::<String>() + news.body.get().trim_matches('"') + " "
    };
    told.iter().map(said).collect()
}

/// The same where no client tells calls apart by anything but their ids.
fn opened(waiting: Vec<Waiting>, missed: Vec<Waiting>, needed_by: Option<&str>) -> String {
    opened_to(Dialect::Unified, waiting, missed, needed_by)
}

impl Heard {
    fn is_new(&mut self, call_id: &str, step: Step) -> bool {
        let over = self.admit(call_id, None, step, Dialect::Unified);
        over.inspect(|over| assert!(over.is_empty(), "{over:?}")).is_some()
    }

    /// Admits a step for an old client.
    fn of_old(&mut self, call_id: &str, step: Step) -> Option<Vec<String>> {
        let news = news(call_id, step, "");
        self.admit(call_id, news.placed_at, step, Dialect::Flutter)
    }
}

#[test]
fn what_was_missed_comes_before_what_came_since_and_after_what_is_older() {
    let waiting = || vec![news("old", OVER, "old"), news("a", OVER, "over")];
    let told = opened(waiting(), vec![news("a", RINGS, "rings")], None);
    assert_eq!(told, "old rings over ");
    assert_eq!(opened(waiting(), vec![], None), "old over ");
    let missed = vec![news("b", RINGS, "rings")];
    assert_eq!(opened(vec![news("old", OVER, "old")], missed, None), "old rings ");
}

#[test]
fn what_was_missed_is_not_told_again() {
    let waiting = vec![news("a", RINGS, "rings"), news("a", Step::Elsewhere, "elsewhere")];
    let told = opened(waiting, vec![news("a", RINGS, "missed")], None);
    assert_eq!(told, "missed elsewhere ");
    let answer = || news("a", ANSWERED, "answer");
    let candidate = |body| news("a", Step::Candidate, body);
    let waiting = vec![answer(), candidate("one"), candidate("two")];
    let told = opened(waiting, vec![answer(), candidate("one")], Some("a"));
    assert_eq!(told, "answer one two ");
}

#[test]
fn call_that_is_over_neither_rings_nor_goes_on() {
    let waiting = vec![news("a", RINGS, "rings"), news("a", OVER, "over")];
    assert_eq!(opened(waiting, vec![news("a", OVER, "missed")], None), "missed ");
}

#[test]
fn end_that_was_missed_comes_before_the_call_that_has_begun_since() {
    let waiting = || vec![news("b", RINGS, "rings")];
    let missed = || vec![news("a", OVER, "missed")];
    assert_eq!(opened(waiting(), missed(), None), "missed rings ");
    for dialect in [Dialect::Flutter, Dialect::Electron] {
        assert_eq!(opened_to(dialect, waiting(), missed(), None), "missed rings ");
        let late = [waiting(), vec![news("a", OVER, "late")]].concat();
        assert_eq!(opened_to(dialect, late, missed(), None), "missed rings ");
    }
}

#[test]
fn socket_that_a_call_needs_hears_candidates_and_of_no_answer_elsewhere() {
    let waiting = || vec![news("a", Step::Elsewhere, "elsewhere"), news("a", Step::Candidate, "c")];
    assert_eq!(opened(waiting(), vec![], Some("a")), "c ");
    assert_eq!(opened(waiting(), vec![], Some("b")), "elsewhere ");
    assert_eq!(opened(waiting(), vec![], None), "elsewhere ");
}

#[test]
fn socket_that_was_there_before_the_answer_is_in_nobodys_place() {
    let peer = Peer::test(chat_kit::id::UserId::new(), std::time::SystemTime::now());
    let answered = |at: DateTime| {
        let answered_at = Some(chat_kit::time::to_timestamp(at));
        pb::Call { answered_at, ..Default::default() }
    };
    let minute = std::time::Duration::from_mins(1);
    let (old, late) = (before(DateTime::now(), minute), after(DateTime::now(), minute));
    for (at, step) in [(old, Step::Elsewhere), (late, ANSWERED)] {
        assert_eq!(Step::of(News::AnsweredElsewhere(&answered(at)), &peer), step);
    }
}

#[test]
fn each_step_is_told_once_however_late_it_comes() {
    let mut heard = Heard { waiting: None, told: VecDeque::new() };
    assert!(heard.is_new("a", ANSWERED));
    assert!(!heard.is_new("a", RINGS), "the answer was told");
    assert!(heard.is_new("a", Step::Candidate) && heard.is_new("a", Step::Candidate));
    let again = vec![news("a", ANSWERED, "again")];
    assert!(heard.open(again, None, Dialect::Unified).is_empty());
    assert!(heard.is_new("a", OVER) && !heard.is_new("a", OVER));
    assert!(heard.is_new("b", RINGS));
    for step in [RINGS, ANSWERED, OVER, Step::Candidate, Step::Elsewhere] {
        assert!(!heard.is_new("a", step), "after the end: {step:?}");
    }
    for id in 0..MOST_KNOWN {
        assert!(heard.is_new(&id.to_string(), OVER));
    }
    assert_eq!(heard.told.len(), MOST_KNOWN);
}
#[test]
fn old_client_hears_of_the_end_before_the_next_call_and_not_after_it() {
    for (before, next) in [(RINGS, RINGS), (ANSWERED, RINGS), (Step::Elsewhere, RINGS)] {
        let mut heard = Heard { waiting: None, told: VecDeque::new() };
        assert_eq!(heard.of_old("a", before), Some(vec![]));
        assert_eq!(heard.of_old("b", next), Some(vec!["a".to_owned()]));
        for step in [ANSWERED, Step::Elsewhere, Step::Candidate, OVER] {
            assert_eq!(heard.of_old("a", step), None, "{step:?} of the one before");
        }
        assert_eq!(heard.of_old("b", ANSWERED), Some(vec![]), "it goes on");
        assert_eq!(heard.of_old("b", OVER), Some(vec![]));
        assert_eq!(heard.of_old("c", RINGS), Some(vec![]), "nothing else is shown");
    }
}

#[test]
fn old_client_hears_nothing_of_a_call_that_a_later_one_has_followed() {
    for step in [RINGS, ANSWERED, Step::Elsewhere, OVER] {
        let mut heard = Heard { waiting: None, told: VecDeque::new() };
        assert_eq!(heard.of_old("b", RINGS), Some(vec![]));
        assert_eq!(heard.of_old("a", step), None, "{step:?}");
        assert_eq!(heard.of_old("a", OVER), None);
        assert_eq!(heard.of_old("b", ANSWERED), Some(vec![]), "it goes on");
        assert_eq!(heard.of_old("b", OVER), Some(vec![]));
    }
    let mut heard = Heard { waiting: None, told: VecDeque::new() };
    assert_eq!(heard.of_old("a", ANSWERED), Some(vec![]));
    assert_eq!(heard.of_old("b", ANSWERED), Some(vec![]), "the later one");
    let mut heard = Heard { waiting: None, told: VecDeque::new() };
    assert!(heard.is_new("b", RINGS) && heard.is_new("a", OVER), "new ones know ids");
    assert!(heard.is_new("b", OVER));
}

#[test]
fn old_client_that_has_placed_a_call_hears_of_the_end_of_no_other() {
    let mut heard = Heard { waiting: None, told: VecDeque::new() };
    assert_eq!(heard.of_old("a", ANSWERED), Some(vec![]));
    assert_eq!(heard.end_others("b"), ["a"]);
    assert_eq!(heard.of_old("b", RINGS), Some(vec![]));
    assert_eq!(heard.of_old("a", OVER), None);
    assert!(heard.end_others("b").is_empty(), "not itself");
    assert_eq!(heard.of_old("b", ANSWERED), Some(vec![]));
}

#[test]
fn old_client_hears_what_waits_in_the_order_of_calls() {
    let told = |waiting, missed, needed_by| opened_to(Dialect::Flutter, waiting, missed, needed_by);
    let waiting = || vec![news("a", ANSWERED, "answer"), news("b", RINGS, "rings")];
    let late = || [waiting(), vec![news("a", OVER, "late")]].concat();
    assert_eq!(told(late(), vec![], None), "answer end-of-a rings ");
    assert_eq!(opened(late(), vec![], None), "answer rings late ");
    // The call that was missed is over by now.
    let missed = || vec![news("a", RINGS, "missed")];
    assert_eq!(told(vec![news("b", RINGS, "rings")], missed(), None), "rings ");
    // The one that its client shows is none that another ends.
    let waiting = || vec![news("a", ANSWERED, "answer")];
    let missed = || vec![news("b", RINGS, "rings")];
    assert_eq!(told(waiting(), missed(), Some("b")), "answer rings ");
    assert_eq!(told(waiting(), missed(), None), "answer end-of-a rings ");
}

#[test]
fn line_that_opens_says_which_calls_ring_only_now() {
    let call = |id: &str| pb::Call { id: id.to_owned(), ..Default::default() };
    let (waits, missed, own) = (call("a"), call("b"), call("c"));
    let opened = |news: &[News<'_>], missed: &[News<'_>]| {
        let now = std::time::SystemTime::now();
        let peer = Peer::test_as(Dialect::Flutter, chat_kit::id::UserId::new(), now);
        for news in news {
            peer.line().tell(&peer, &CallNews::new(*news));
        }
        peer.line().open(&peer, missed, None)
    };
    let sdp = "{}";
    let rings = News::Incoming(&waits, sdp);
    let over = News::Ended { call_id: &waits.id, by: "timeout" };
    assert_eq!(opened(&[rings], &[]), ["a"]);
    assert_eq!(opened(&[rings], &[News::Incoming(&missed, sdp)]), ["a"]);
    assert!(opened(&[rings], &[rings]).is_empty(), "the service knows");
    assert!(opened(&[rings], &[over]).is_empty(), "it is over");
    assert!(opened(&[News::Ringing(&own)], &[]).is_empty(), "at the other side");
}
