//! Which messages can be emitted without looking for those before them.

use std::time::Duration;

use bson::DateTime;
use chat_kit::time::{before, from_timestamp};
use chat_proto::v1 as pb;

/// A message whose predecessor is older than this opens a window at once.
pub(super) const SETTLED_AFTER: Duration = Duration::from_secs(5);

/// Says whether a message can be emitted without looking for those before it: it is new, and they were
/// stored long before it, so that they have long been heard. One that was announced late says nothing
/// about the others.
pub(super) fn is_settled(message: &pb::Message) -> bool {
    let created_at = message.created_at.as_ref().map(from_timestamp);
    match (created_at, message.previous_created_at.as_ref().map(from_timestamp)) {
        (_, None) => message.seq == 1,
        (None, Some(_)) => false,
        (Some(created_at), Some(previous)) => {
            created_at >= before(DateTime::now(), SETTLED_AFTER)
                && previous < before(created_at, SETTLED_AFTER)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_is_settled_where_it_is_new_and_the_one_before_is_not() {
        let now = DateTime::now().timestamp_millis();
        let is_settled = |seq, created_at, previous: Option<i64>| {
            let time = |millis| chat_kit::time::to_timestamp(DateTime::from_millis(millis));
            is_settled(&pb::Message {
                seq,
                created_at: Some(time(created_at)),
                previous_created_at: previous.map(time),
                ..Default::default()
            })
        };
        assert!(is_settled(1, now, None));
        assert!(is_settled(7, now, Some(now - 6000)));
        assert!(!is_settled(7, now, Some(now - 4000)), "that one may still be on its way");
        assert!(!is_settled(7, now - 6000, Some(now - 60_000)), "announced late");
        // The clock of the services is ahead: what counts is the time between the two.
        assert!(!is_settled(7, now + 60_000, Some(now + 59_999)));
        assert!(is_settled(7, now + 60_000, Some(now + 50_000)));
    }
}
