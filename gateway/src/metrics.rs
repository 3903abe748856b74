//! The metrics of the gateway. Every handle is made once and kept: counting costs a few atomic steps.

use std::{collections::HashMap, sync::LazyLock, time::Instant};

use axum::http::{Method, StatusCode};
use chat_kit::telemetry::metrics::{Kind, Metric, describe};
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::RwLock;

use crate::{error::ApiError, wire::event};

const HTTP: &str = "chat_http_request_duration_seconds";
const EVENTS: &str = "chat_socket_event_duration_seconds";
const CONNECTED: &str = "chat_sockets_connected";
const CUT: &str = "chat_sockets_cut_total";
const FRAMES: &str = "chat_socket_frames_emitted_total";
const LAG: &str = "chat_fanout_lag_seconds";
const GAPS: &str = "chat_fanout_gaps_fetched_total";
const REPLAYS: &str = "chat_fanout_replays_total";
const WINDOWS: &str = "chat_fanout_windows_held";

const ALL: [Metric; 9] = [
    Metric {
        name: HTTP,
        kind: Kind::Histogram,
        help: "How long HTTP requests took to be answered, by the template of their route.",
    },
    Metric {
        name: EVENTS,
        kind: Kind::Histogram,
        help: "How long events of sockets took to be answered, from their arrival on.",
    },
    Metric {
        name: CONNECTED,
        kind: Kind::Gauge,
        help: "Sockets that are connected and authenticated.",
    },
    Metric {
        name: CUT,
        kind: Kind::Counter,
        help: "Sockets whose transport was cut so that their clients come back.",
    },
    Metric { name: FRAMES, kind: Kind::Counter, help: "Events that were emitted to sockets." },
    Metric {
        name: LAG,
        kind: Kind::Histogram,
        help: "Time from an event to its emission to the sockets here.",
    },
    Metric {
        name: GAPS,
        kind: Kind::Counter,
        help: "Gaps in the order of a conversation that were fetched from the message service.",
    },
    Metric {
        name: REPLAYS,
        kind: Kind::Counter,
        help: "Times that the stream was read again after an interruption, by whether it reached back.",
    },
    Metric { name: WINDOWS, kind: Kind::Gauge, help: "Conversations whose order is remembered." },
];

/// Stands for what has no name of its own.
const OTHER: &str = "other";
/// Stands for paths that do not exist.
const UNMATCHED: &str = "unmatched";

/// Gives the metrics their meaning, and makes those that are known before anything happens.
pub fn init() {
    describe(&ALL);
    LazyLock::force(&SOCKETS);
    LazyLock::force(&FANOUT);
}

/// By route, then by method and status: bounded by the table of routes and what it answers.
type Durations = HashMap<String, HashMap<(&'static str, u16), Histogram>>;

static REQUESTS: LazyLock<RwLock<Durations>> = LazyLock::new(RwLock::default);

/// Measures an answered request; `route` is the template of its path, if it has one.
pub fn answered(route: Option<&str>, method: &Method, status: StatusCode, begun: Instant) {
    let (route, key) = (route.unwrap_or(UNMATCHED), (method_name(method), status.as_u16()));
    let known = REQUESTS.read().get(route).and_then(|known| known.get(&key)).cloned();
    let histogram = known.unwrap_or_else(|| {
        let made = histogram!(
            HTTP, "route" => route.to_owned(), "method" => key.0, "status" => key.1.to_string()
        );
        let mut requests = REQUESTS.write();
        requests.entry(route.to_owned()).or_default().entry(key).or_insert(made).clone()
    });
    histogram.record(begun.elapsed());
}

/// Returns a method's name; clients may invent others.
pub fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => OTHER,
    }
}

/// Why a socket was cut.
#[derive(Clone, Copy, Debug)]
pub enum Cut {
    /// It takes its events too slowly.
    Slow,
    /// The order of a conversation cannot be proved.
    OrderLost,
    /// The stream of events does not reach back far enough.
    EventsLost,
    /// Its session cannot be checked.
    Unchecked,
    /// Its user connects too often.
    TooMany,
    /// Its token or session is over.
    SessionOver,
    /// The gateway ends.
    Draining,
}

/// The metrics of sockets.
pub struct Sockets {
    /// Sockets that are connected.
    pub connected: Gauge,
    /// Events that were emitted to sockets.
    pub frames: Counter,
    slow: Counter,
    order_lost: Counter,
    events_lost: Counter,
    unchecked: Counter,
    too_many: Counter,
    session_over: Counter,
    draining: Counter,
    events: HashMap<&'static str, Outcomes>,
    other: Outcomes,
}

/// What became of events of one name.
struct Outcomes {
    ok: Histogram,
    refused: Histogram,
    failed: Histogram,
}

impl Outcomes {
    fn of(event: &'static str) -> Self {
        let make =
            |outcome: &'static str| histogram!(EVENTS, "event" => event, "outcome" => outcome);
        Self { ok: make("ok"), refused: make("refused"), failed: make("failed") }
    }
}

/// The metrics of sockets.
pub static SOCKETS: LazyLock<Sockets> = LazyLock::new(|| {
    let cut = |reason: &'static str| counter!(CUT, "reason" => reason);
    Sockets {
        connected: gauge!(CONNECTED),
        frames: counter!(FRAMES),
        slow: cut("slow"),
        order_lost: cut("order_lost"),
        events_lost: cut("events_lost"),
        unchecked: cut("unchecked"),
        too_many: cut("too_many"),
        session_over: cut("session_over"),
        draining: cut("draining"),
        events: event::INBOUND.into_iter().map(|name| (name, Outcomes::of(name))).collect(),
        other: Outcomes::of(OTHER),
    }
});

impl Sockets {
    /// Counts a socket that is cut.
    pub fn cut(&self, reason: Cut) {
        let counter = match reason {
            Cut::Slow => &self.slow,
            Cut::OrderLost => &self.order_lost,
            Cut::EventsLost => &self.events_lost,
            Cut::Unchecked => &self.unchecked,
            Cut::TooMany => &self.too_many,
            Cut::SessionOver => &self.session_over,
            Cut::Draining => &self.draining,
        };
        counter.increment(1);
    }

    /// Measures an answered event: refused is what its client can help, failed what it cannot.
    pub fn event(&self, name: &str, error: Option<&ApiError>, begun: Instant) {
        let outcomes = self.events.get(name).unwrap_or(&self.other);
        let outcome = match error {
            None => &outcomes.ok,
            Some(error) if error.status.is_server_error() => &outcomes.failed,
            Some(_) => &outcomes.refused,
        };
        outcome.record(begun.elapsed());
    }
}

/// The metrics of the fan-out.
pub struct Fanout {
    /// From an event to its emission.
    pub lag: Histogram,
    /// Conversations whose order is remembered.
    pub windows: Gauge,
    /// Gaps that were fetched.
    pub gaps_fetched: Counter,
    /// Gaps that could not be fetched.
    pub gaps_failed: Counter,
    /// Replays that brought all.
    pub replays_whole: Counter,
    /// Replays of a stream that does not reach back.
    pub replays_too_short: Counter,
}

/// The metrics of the fan-out.
pub static FANOUT: LazyLock<Fanout> = LazyLock::new(|| Fanout {
    lag: histogram!(LAG),
    windows: gauge!(WINDOWS),
    gaps_fetched: counter!(GAPS, "outcome" => "ok"),
    gaps_failed: counter!(GAPS, "outcome" => "failed"),
    replays_whole: counter!(REPLAYS, "reach" => "whole"),
    replays_too_short: counter!(REPLAYS, "reach" => "too_short"),
});
