//! How the sender of a request stands towards a limit, and how its answer says so.

use std::sync::Arc;

use axum::{
    http::{HeaderName, HeaderValue},
    response::Response,
};
use parking_lot::Mutex;

use crate::config::Rate;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Where the sender of a request stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) rate: Rate,
    /// Requests that would be let through at once.
    pub(super) left: u32,
}

impl Standing {
    /// Returns after how many seconds without requests the whole burst is there again.
    fn reset(self) -> u64 {
        let missing = u64::from(self.rate.burst.get().saturating_sub(self.left));
        (missing * 60).div_ceil(self.rate.per_minute.get().into())
    }
}

/// Travels with a request and takes note of how its sender stands; what is noted last counts.
#[derive(Clone, Debug, Default)]
pub(super) struct Meter(Arc<Mutex<Option<Standing>>>);

impl Meter {
    pub(super) fn note(&self, standing: Standing) {
        *self.0.lock() = Some(standing);
    }

    /// Writes into an answer what was noted.
    pub(super) fn write(&self, mut response: Response) -> Response {
        let Some(standing) = *self.0.lock() else { return response };
        let Rate { per_minute, burst } = standing.rate;
        let headers = response.headers_mut();
        if let Ok(policy) = HeaderValue::try_from(format!("{per_minute};w=60;burst={burst}")) {
            headers.insert(POLICY, policy);
        }
        headers.insert(LIMIT, burst.get().into());
        headers.insert(REMAINING, standing.left.into());
        headers.insert(RESET, standing.reset().into());
        response
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use axum::body::Body;

    use super::*;

    #[test]
    fn answer_says_what_was_noted_last() {
        let rate = |number| NonZeroU32::new(number).expect("not zero");
        let standing =
            |left| Standing { rate: Rate { per_minute: rate(120), burst: rate(60) }, left };
        let meter = Meter::default();
        assert!(meter.write(Response::new(Body::empty())).headers().is_empty());
        meter.note(standing(60));
        meter.clone().note(standing(57));
        let response = meter.write(Response::new(Body::empty()));
        let header = |name: &str| response.headers()[name].to_str().expect("text").to_owned();
        assert_eq!(header("ratelimit-policy"), "120;w=60;burst=60");
        let others =
            ["limit", "remaining", "reset"].map(|name| header(&format!("ratelimit-{name}")));
        assert_eq!(others, ["60", "57", "2"]);
    }
}
