//! Who may do what with a call, and what time does with it.

use std::time::Duration;

use bson::DateTime;
use chat_kit::{
    id::UserId,
    time::{after, before},
};

use super::{
    Call, EndEvent, EndReason, Ender, HeldHangUp, Missed, Party, Role, Rung, Side, Socket, Spans,
    State, Step,
};
use crate::error::Error;

/// How long a hang-up is held.
const HOLD: Duration = Duration::from_secs(3);
/// An answer must be older than this for a hang-up to be held.
const HELD_AFTER_ANSWER: Duration = Duration::from_secs(5);
/// Ages of a call at which forgotten screens hang up.
const HELD_FROM: Duration = Duration::from_secs(58);
const HELD_UP_TO: Duration = Duration::from_secs(75);
/// How long a gateway may take a socket for one that is there although nothing reaches it any more.
const UNNOTICED: Duration = Duration::from_secs(45);
/// What was told this shortly before a socket was gone has not reached it for certain.
const UNCERTAIN: Duration = Duration::from_secs(1);
/// How long devices ring, or show a call, on their own account.
const SHOWN: Duration = Duration::from_mins(1);

impl Call {
    /// The callee takes the call on one of his sockets. Nothing happens where that one has it already: it
    /// says so again because it heard no reply.
    pub(crate) fn answer(
        &self,
        by: &Party,
        answer: &str,
        spans: Spans,
        now: DateTime,
    ) -> Result<Option<Step>, Error> {
        if self.role(by.user_id)? != Role::Callee {
            return Err(Error::NotTheCallee);
        }
        // One that stands by may be another window of the same session.
        let is_bound = self.callee.bound.as_ref().is_some_and(|bound| bound.id == by.socket_id);
        match self.state {
            State::Answered if is_bound => Ok(None),
            State::Answered => Err(Error::AlreadyAnswered),
            State::Ended => Err(Error::Ended),
            State::Ringing if self.is_over(now) => Err(Error::Ended),
            State::Ringing => Ok(Some(Step::Answer {
                session: by.session.clone(),
                socket: Socket::held(&by.socket_id, after(now, spans.lease)),
                answer: answer.to_owned(),
                ends_by: after(now, spans.max_duration),
            })),
        }
    }

    /// The callee refuses the call; nothing happens to one that has ended.
    pub(crate) fn decline(&self, by: &Ender) -> Result<Option<Step>, Error> {
        if self.role(by.user_id)? != Role::Callee {
            return Err(Error::NotTheCallee);
        }
        match self.state {
            State::Answered => Err(Error::AlreadyAnswered),
            State::Ended => Ok(None),
            State::Ringing => {
                let (reason, by) = (EndReason::Declined, Some(by.clone()));
                Ok(Some(Step::End { reason, by, event: EndEvent::Declined }))
            }
        }
    }

    /// A party hangs up: from any socket while it rings. Nothing happens to a call that has ended.
    pub(crate) fn hang_up(
        &self,
        by: &Party,
        may_be_held: bool,
        spans: Spans,
        now: DateTime,
    ) -> Result<Option<Step>, Error> {
        let role = self.role(by.user_id)?;
        let end = |reason| Ok(Some(end(reason, Some(by.ender()))));
        match (self.state, role) {
            (State::Ended, _) => return Ok(None),
            (State::Ringing, Role::Callee) => return end(EndReason::Declined),
            (State::Ringing, Role::Caller) => return end(EndReason::Cancelled),
            (State::Answered, _) if !self.side(role).has(&by.socket_id) => {
                return Err(Error::NotBound);
            }
            (State::Answered, _) => {}
        }
        let is_of_a_screen = role == Role::Callee && may_be_held;
        match self.held_hang_up {
            Some(HeldHangUp { until, is_dropped }) if is_of_a_screen && now < until => {
                Ok((!is_dropped).then_some(Step::DropHangUps))
            }
            // The one that was held takes effect.
            Some(HeldHangUp { is_dropped: false, .. }) => end(EndReason::HungUp),
            _ if is_of_a_screen && spans.holds_hang_ups && self.is_time_of_screens(now) => {
                Ok(Some(Step::HoldHangUp { until: after(now, HOLD) }))
            }
            _ => end(EndReason::HungUp),
        }
    }

    /// Says whether screens that the callee's client has forgotten hang up about now.
    fn is_time_of_screens(&self, now: DateTime) -> bool {
        let was_answered_before =
            self.answered_at.is_some_and(|at| at < before(now, HELD_AFTER_ANSWER));
        was_answered_before
            && after(self.placed_at, HELD_FROM) <= now
            && now <= after(self.placed_at, HELD_UP_TO)
    }

    /// Returns the side for which a socket adds a candidate.
    pub(crate) fn candidate(&self, by: &Party) -> Result<Role, Error> {
        let role = self.role(by.user_id)?;
        match (self.state, role) {
            (State::Ended, _) => Err(Error::Ended),
            // Which of his sockets will answer is not known yet.
            (State::Ringing, Role::Callee) => Ok(role),
            _ if self.side(role).has(&by.socket_id) => Ok(role),
            _ => Err(Error::NotBound),
        }
    }

    /// A socket of a party has come. It takes over from one of its session that has left, or stands by. Since
    /// when that one has heard nothing is not known for certain: a client that may hear things twice counts as
    /// one that has long heard nothing, any other as one that has heard all until it was gone, or until now.
    pub(crate) fn attach(
        &self,
        by: &Party,
        may_repeat: bool,
        spans: Spans,
        now: DateTime,
    ) -> Result<Option<Step>, Error> {
        let role = self.role(by.user_id)?;
        let side = self.side(role);
        let Some(bound) = side.bound.as_ref().filter(|_| side.session == by.session) else {
            return Ok(None);
        };
        if side.has(&by.socket_id) || self.is_over(now) {
            return Ok(None);
        }
        let unheard_since = if may_repeat {
            before(bound.left_at.unwrap_or(now), UNNOTICED)
        } else {
            bound.left_at.unwrap_or(after(now, UNCERTAIN))
        };
        let socket = Socket {
            unheard_since: Some(unheard_since),
            ..Socket::held(&by.socket_id, after(now, spans.lease))
        };
        Ok(Some(if bound.is_detached {
            Step::Bind { role, socket }
        } else {
            Step::StandBy { role, socket }
        }))
    }

    /// A socket of a party has gone, which has most probably heard nothing for some time before.
    pub(crate) fn detach(
        &self,
        user: UserId,
        socket_id: &str,
        unheard: Duration,
        spans: Spans,
        now: DateTime,
    ) -> Result<Option<Step>, Error> {
        let role = self.role(user)?;
        let side = self.side(role);
        if side.standby.as_ref().is_some_and(|standby| standby.id == socket_id) {
            return Ok(Some(Step::StandDown { role }));
        }
        let is_it = |bound: &Socket| bound.id == socket_id && !bound.is_detached;
        if !side.bound.as_ref().is_some_and(is_it) {
            return Ok(None);
        }
        let left_at = before(now, unheard.min(UNNOTICED));
        Ok(Some(match side.standby.as_ref().filter(|standby| standby.held_until > now) {
            Some(standby) => Step::Bind { role, socket: standby.clone() },
            None => Step::Detach { role, until: after(now, spans.grace), left_at },
        }))
    }

    /// Returns what a socket of a party has missed that has come, and of which the call has taken note.
    pub(crate) fn missed(&self, by: &Party, may_repeat: bool, now: DateTime) -> Option<Missed> {
        let role = self.role(by.user_id).ok()?;
        match (self.state, role) {
            (State::Ended, _) => {
                let is_shown = self.ended_at.is_some_and(|at| at > before(now, SHOWN));
                (is_shown && !self.was_ended_by(&by.ender())).then_some(Missed::End)
            }
            // Its end is about to be told.
            _ if self.is_over(now) => None,
            (State::Ringing, Role::Caller) => None,
            (State::Ringing, Role::Callee) => {
                let has_rung = self.callee.rung.iter().any(|rung| rung.is_of_another_socket(by));
                (may_repeat || !has_rung).then_some(Missed::Ring)
            }
            (State::Answered, Role::Callee) if self.callee.session != by.session => {
                let is_shown = self.answered_at.is_some_and(|at| at > before(now, SHOWN));
                is_shown.then_some(Missed::Elsewhere)
            }
            (State::Answered, _) => {
                let since = self.side(role).socket(&by.socket_id)?.unheard_since?;
                let is_unheard = self.answered_at.is_some_and(|at| at >= before(since, UNCERTAIN));
                let has_missed_it = role == Role::Caller && is_unheard;
                Some(if has_missed_it { Missed::Answer } else { Missed::Candidates })
            }
        }
    }

    /// Says whether a user has ended the call on this device of his. His others may ring on.
    fn was_ended_by(&self, by: &Ender) -> bool {
        self.ended_by == Some(by.user_id) && self.ended_by_session == by.session
    }

    /// Says whether the call is over by its own times, before a replica says so. A lease that has run out
    /// is no such time: nobody may have been able to renew it.
    fn is_over(&self, now: DateTime) -> bool {
        matches!(self.timed(now), Some(Step::End { .. }))
    }

    /// Returns what time does with the call, if anything. Whoever hears of it first does it.
    pub(crate) fn due(&self, now: DateTime) -> Option<Step> {
        if !self.is_live {
            return None;
        }
        self.timed(now).or_else(|| self.left(now))
    }

    /// Returns what the call's own times do with it.
    fn timed(&self, now: DateTime) -> Option<Step> {
        if let Some(held) = self.held_hang_up.filter(|held| held.until <= now) {
            let Side { user_id, session, .. } = &self.callee;
            let by = Ender { user_id: *user_id, session: session.clone() };
            let takes_effect = end(EndReason::HungUp, Some(by));
            return Some(if held.is_dropped { Step::ForgetHangUps } else { takes_effect });
        }
        let is_past = |time: Option<DateTime>| time.is_some_and(|time| time <= now);
        if is_past(self.ring_until) {
            return Some(end(EndReason::Timeout, None));
        }
        is_past(self.ends_by).then(|| end(EndReason::Disconnect, None))
    }

    /// Returns what becomes of the call where a bound socket has left.
    fn left(&self, now: DateTime) -> Option<Step> {
        let has_left = |role: Role| {
            let bound = self.side(role).bound.as_ref();
            bound.filter(|bound| bound.held_until <= now).map(|_| role)
        };
        let role = has_left(Role::Caller).or_else(|| has_left(Role::Callee))?;
        let standby = self.side(role).standby.as_ref().filter(|standby| standby.held_until > now);
        Some(match standby {
            Some(standby) => Step::Bind { role, socket: standby.clone() },
            None => end(EndReason::Disconnect, None),
        })
    }
}

impl Rung {
    /// Says whether it is about another socket of a party's session.
    fn is_of_another_socket(&self, by: &Party) -> bool {
        self.session == by.session && self.socket_id.as_ref() != Some(&by.socket_id)
    }
}

impl Party {
    fn ender(&self) -> Ender {
        Ender { user_id: self.user_id, session: self.session.clone() }
    }
}

fn end(reason: EndReason, by: Option<Ender>) -> Step {
    Step::End { reason, by, event: EndEvent::Ended }
}

#[cfg(test)]
mod tests;
