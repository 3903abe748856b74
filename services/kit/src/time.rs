//! Instants between BSON, protobuf and the clock, all with exactly millisecond precision.

use std::time::Duration;

use bson::DateTime;
use prost_types::Timestamp;

/// Returns the protobuf form of an instant.
#[must_use]
pub fn to_timestamp(time: DateTime) -> Timestamp {
    let millis = time.timestamp_millis();
    // Below a thousand million by the modulus.
    let nanos = i32::try_from(millis.rem_euclid(1000) * 1_000_000).unwrap_or_default();
    Timestamp { seconds: millis.div_euclid(1000), nanos }
}

/// Returns the BSON form of an instant, cut to milliseconds.
#[must_use]
pub fn from_timestamp(time: &Timestamp) -> DateTime {
    let millis = i64::from(time.nanos) / 1_000_000;
    DateTime::from_millis(time.seconds.saturating_mul(1000).saturating_add(millis))
}

/// Returns the instant that lies `span` after another.
#[must_use]
pub fn after(time: DateTime, span: Duration) -> DateTime {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(time.timestamp_millis().saturating_add(millis))
}

/// Returns the instant that lies `span` before another.
#[must_use]
pub fn before(time: DateTime, span: Duration) -> DateTime {
    let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(time.timestamp_millis().saturating_sub(millis))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_survive_the_way_to_protobuf_and_back() {
        for millis in [0, 1, -1, 1_769_847_330_123, -62_135_596_800_000] {
            let time = DateTime::from_millis(millis);
            assert_eq!(from_timestamp(&to_timestamp(time)), time);
        }
    }
}
