//! How often clients may ask, by request or by the events of their sockets: a user, whatever his addresses, and an address for what is in nobody's name.
//! Counted in this process: clients that ask N gateways may ask N times as often.

mod meter;

use std::{
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    num::NonZeroU32,
    time::{Duration, Instant},
};

use axum::{
    extract::{Request, State},
    http::{Method, StatusCode, request::Parts},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use chat_kit::id::UserId;
use governor::{
    Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::StateInformationMiddleware,
    state::keyed::DashMapStateStore,
};
use parking_lot::Mutex;

use self::meter::{Meter, Standing};
use crate::{
    auth,
    config::{self, Rate},
    error::ApiError,
    http::client_address,
    state::AppState,
    wire::event,
};

/// How often those are forgotten who have not asked for a while.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);
/// How often while there are more of them than this.
const BUSY_SWEEP_INTERVAL: Duration = Duration::from_secs(1);
const MANY: usize = 20_000;

/// A failed one makes the mobile client forget its session, or is asked all day to see whether somebody is
/// there: never refused.
const UNLIMITED: [&str; 6] = ["/", "/health", "/health/db", "/ping", "/api/auth/me", "/auth/me"];
/// Below these, whoever asks is nobody yet, also with a token.
const FOR_STRANGERS: [&str; 2] = ["/api/auth/", "/auth/"];
/// Where messages are posted.
const MESSAGES: [&str; 4] =
    ["/api/messages", "/messages", "/api/messages/voice", "/messages/voice"];
/// Events by which messages are sent.
const SENDING: [&str; 2] = [event::SEND_MESSAGE, event::MESSAGE_SEND];
/// Where address books are posted.
const CONTACTS: [&str; 2] = ["/api/conversations/contacts/sync", "/contacts/sync"];

/// What clients have asked of this process of late.
pub struct Limits {
    requests: Limiter<UserId>,
    messages: Limiter<UserId>,
    contacts: Limiter<UserId>,
    addresses: Limiter<IpAddr>,
    events: Limiter<UserId>,
    handshakes: Limiter<IpAddr>,
    connects: Limiter<UserId>,
}

impl std::fmt::Debug for Limits {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Limits").finish_non_exhaustive()
    }
}

impl Limits {
    /// Begins to count.
    #[must_use]
    pub fn new(config: &config::Limits) -> Self {
        let requests = "too_many_requests";
        Self {
            requests: Limiter::new(config.requests, requests),
            messages: Limiter::new(config.messages, "too_many_messages"),
            contacts: Limiter::new(config.contacts, requests),
            addresses: Limiter::new(config.addresses, requests),
            events: Limiter::new(config.events, "too_many_events"),
            handshakes: Limiter::new(config.handshakes, requests),
            connects: Limiter::new(config.connects, requests),
        }
    }

    /// Counts a socket of a user that is about to be let in.
    pub fn charge_connect(&self, user_id: UserId) -> Result<(), ApiError> {
        self.connects.charge(&user_id, &Meter::default())
    }

    /// Counts an event of a user's sockets. One that sends a message counts as such, too, and one that asks for
    /// what was missed, which costs as much as a request does, as a request.
    pub fn charge_event(&self, name: &str, user_id: UserId) -> Result<(), ApiError> {
        let meter = Meter::default();
        self.events.charge(&user_id, &meter)?;
        if SENDING.contains(&name) {
            return self.messages.charge(&user_id, &meter);
        }
        if name == event::SYNC {
            return self.requests.charge(&user_id, &meter);
        }
        Ok(())
    }
}

/// One limit, for any number of those who ask.
struct Limiter<K: Hash + Eq + Clone> {
    counts: RateLimiter<K, DashMapStateStore<K>, DefaultClock, StateInformationMiddleware>,
    rate: Rate,
    error: &'static str,
    next_sweep: Mutex<Instant>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(rate: Rate, error: &'static str) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        let counts = RateLimiter::dashmap(quota).with_middleware::<StateInformationMiddleware>();
        Self { counts, rate, error, next_sweep: Mutex::new(Instant::now() + SWEEP_INTERVAL) }
    }

    /// Counts one request; notes how its sender stands, and refuses it where that is beyond the limit.
    fn charge(&self, key: &K, meter: &Meter) -> Result<(), ApiError> {
        self.sweep();
        let refused = match self.counts.check_key(key) {
            Ok(state) => {
                meter.note(Standing { rate: self.rate, left: state.remaining_burst_capacity() });
                return Ok(());
            }
            Err(refused) => refused,
        };
        meter.note(Standing { rate: self.rate, left: 0 });
        let wait = refused.wait_time_from(DefaultClock::default().now());
        let message = "too many at once, slow down and try again";
        let error = ApiError::new(StatusCode::TOO_MANY_REQUESTS, self.error, message);
        Err(ApiError { retry_after: Some(wait), ..error })
    }

    /// Forgets those who may ask as much again as somebody who never did.
    fn sweep(&self) {
        let now = Instant::now();
        // Whoever comes meanwhile goes on.
        let Some(mut next_sweep) = self.next_sweep.try_lock() else { return };
        if now < *next_sweep {
            return;
        }
        self.counts.retain_recent();
        self.counts.shrink_to_fit();
        let is_busy = self.counts.len() > MANY;
        *next_sweep = now + if is_busy { BUSY_SWEEP_INTERVAL } else { SWEEP_INTERVAL };
    }
}

/// Refuses what its address asks too often in nobody's name, and says in each answer how its sender
/// stands. Requests in somebody's name are counted once it is known that they are: [`charge`].
pub async fn limit(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let path = request.uri().path();
    if UNLIMITED.contains(&path) {
        return next.run(request).await;
    }
    let is_for_strangers = FOR_STRANGERS.iter().any(|prefix| path.starts_with(prefix));
    let (mut parts, body) = request.into_parts();
    let meter = Meter::default();
    if is_for_strangers || !is_signed(&state, &parts) {
        let address = address_of(&state, &parts);
        if let Err(refused) = state.limits.addresses.charge(&address, &meter) {
            return meter.write(refused.into_response());
        }
    }
    parts.extensions.insert(meter.clone());
    meter.write(next.run(Request::from_parts(parts, body)).await)
}

/// Refuses the opening of a transport where its address opens too many. Its client tries again later.
pub async fn limit_handshake(state: &AppState, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let meter = Meter::default();
    match state.limits.handshakes.charge(&address_of(state, &parts), &meter) {
        Ok(()) => next.run(Request::from_parts(parts, body)).await,
        Err(refused) => meter.write(refused.into_response()),
    }
}

/// Returns the address that a request is counted for.
fn address_of(state: &AppState, parts: &Parts) -> IpAddr {
    let address = client_address(parts, state.config.http.proxies);
    network(address.unwrap_or(Ipv4Addr::UNSPECIFIED.into()))
}

/// Says whether a request comes with a token that was signed here; whether its session lives is asked
/// later.
fn is_signed(state: &AppState, parts: &Parts) -> bool {
    auth::bearer(&parts.headers).is_some_and(|token| state.verifier.verify(token).is_ok())
}

/// Counts a request of a user, unless it is one that is never refused.
pub fn charge(state: &AppState, parts: &Parts, user_id: UserId) -> Result<(), ApiError> {
    let Some(meter) = parts.extensions.get::<Meter>() else { return Ok(()) };
    let limits = &state.limits;
    limits.requests.charge(&user_id, meter)?;
    let path = parts.uri.path();
    if parts.method == Method::POST && MESSAGES.contains(&path) {
        return limits.messages.charge(&user_id, meter);
    }
    if parts.method == Method::POST && CONTACTS.contains(&path) {
        return limits.contacts.charge(&user_id, meter);
    }
    Ok(())
}

/// Returns what counts as one address: whoever has one of IPv6 has the 64 bits behind it, too.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// Returns a rate that nobody reaches.
#[must_use]
pub fn unlimited() -> Rate {
    Rate { per_minute: NonZeroU32::MAX, burst: NonZeroU32::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limiter(per_minute: u32, burst: u32) -> Limiter<u32> {
        let rate = |number| NonZeroU32::new(number).expect("not zero");
        let rate = Rate { per_minute: rate(per_minute), burst: rate(burst) };
        Limiter::new(rate, "too_many_requests")
    }

    #[test]
    fn each_key_has_its_burst_and_then_waits() {
        let (limiter, meter) = (limiter(1, 3), Meter::default());
        for key in [1, 2] {
            for _ in 0..3 {
                limiter.charge(&key, &meter).expect("within the burst");
            }
            let refused = limiter.charge(&key, &meter).expect_err("beyond it");
            assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
            let wait = refused.retry_after.expect("a time");
            assert!(wait > Duration::from_secs(50) && wait <= Duration::from_mins(1), "{wait:?}");
        }
    }

    #[test]
    fn those_who_stopped_asking_are_forgotten() {
        let (limiter, meter) = (limiter(60_000, 1000), Meter::default());
        for key in 0..100 {
            limiter.charge(&key, &meter).expect("within the burst");
        }
        assert_eq!(limiter.counts.len(), 100);
        // One request is made up for in a millisecond.
        let end = Instant::now() + Duration::from_secs(10);
        while limiter.counts.len() > 1 && Instant::now() < end {
            *limiter.next_sweep.lock() = Instant::now();
            limiter.charge(&0, &meter).expect("within the burst");
        }
        assert_eq!(limiter.counts.len(), 1);
    }

    #[test]
    fn nobody_reaches_the_unlimited() {
        let limiter = Limiter::new(unlimited(), "too_many_requests");
        for _ in 0..10_000 {
            limiter.charge(&1, &Meter::default()).expect("no limit");
        }
    }

    #[test]
    fn networks_of_ipv6_count_as_one_address() {
        let network_of = |text: &str| network(text.parse().expect(text)).to_string();
        assert_eq!(network_of("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network_of("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(network_of("203.0.113.7"), "203.0.113.7");
    }
}
