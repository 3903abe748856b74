//! How often an address may ask in nobody's name, and what is never refused.

use std::num::NonZeroU32;

use chat_gateway::config::{Limits, Rate};

use crate::app::{Answer, App, NOWHERE, config, token};

fn limited() -> App {
    let number = |number| NonZeroU32::new(number).expect("not zero");
    let few = Rate { per_minute: number(1), burst: number(3) };
    let limits = Limits {
        requests: few,
        messages: few,
        contacts: few,
        addresses: few,
        events: few,
        handshakes: few,
        connects: few,
    };
    App::new(chat_gateway::Config { limits, ..config(NOWHERE) })
}

fn header(answer: &Answer, name: &str) -> Option<u64> {
    let value = answer.headers.get(name)?;
    Some(value.to_str().expect("text").parse().expect("a number"))
}

#[tokio::test]
async fn address_without_a_name_has_its_burst_and_is_told_how_it_stands() {
    let app = limited();
    let paths = ["/api/users", "/auth/nothing-here", "/nothing-here"];
    for (path, remaining) in paths.iter().zip([2, 1, 0]) {
        let answer = app.get(path).await;
        assert_ne!(answer.status, 429, "{path}");
        assert_eq!(header(&answer, "ratelimit-limit"), Some(3), "{path}");
        assert_eq!(header(&answer, "ratelimit-remaining"), Some(remaining), "{path}");
        assert_eq!(answer.headers["ratelimit-policy"], "1;w=60;burst=3");
        assert_eq!(header(&answer, "retry-after"), None);
    }
    for path in paths {
        let answer = app.get(path).await;
        answer.assert_refused(429, "too_many_requests");
        let wait = header(&answer, "retry-after").expect("a time");
        assert!((1..=60).contains(&wait), "{wait}");
        assert_eq!(header(&answer, "ratelimit-remaining"), Some(0));
    }
}

#[tokio::test]
async fn forged_token_is_no_name() {
    let app = limited();
    for _ in 0..3 {
        app.get_as("a.b.c", "/api/users").await.assert_refused(401, "invalid_token");
    }
    app.get_as("a.b.c", "/api/users").await.assert_refused(429, "too_many_requests");
    // Somebody in whose name a request comes is not of this address's number.
    app.get_as(&token("s"), "/api/users").await.assert_refused(503, "unavailable");
    let login = app.get_as(&token("s"), "/api/auth/nothing-here").await;
    login.assert_refused(429, "too_many_requests");
}

#[tokio::test]
async fn what_logs_clients_out_or_is_asked_all_day_is_never_refused() {
    let app = limited();
    for path in ["/", "/ping", "/health", "/api/auth/me", "/auth/me", "/API/Auth/Me/"] {
        for _ in 0..10 {
            let answer = app.get(path).await;
            assert_ne!(answer.status, 429, "{path}");
            assert_eq!(header(&answer, "ratelimit-limit"), None, "{path}");
        }
    }
}
