//! Servers that help two devices reach each other, with credentials for one user that end by themselves: the
//! convention of TURN servers that share a secret with who lets users in.

use aws_lc_rs::hmac;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bson::DateTime;
use chat_kit::{id::UserId, time::after};
use chat_proto::v1::{GetIceServersResponse, IceServer};

use crate::config::{Ice, Turn};

impl Ice {
    /// Returns the servers for a user.
    pub(crate) fn servers(&self, user: UserId, now: DateTime) -> Vec<IceServer> {
        let stun = IceServer { urls: self.stun.clone(), username: None, credential: None };
        let turn = self.turn.as_ref().map(|turn| turn.server(user, now));
        let stun = (!self.stun.is_empty()).then_some(stun);
        stun.into_iter().chain(turn).collect()
    }

    /// Returns when credentials expire that are made now, if there are any.
    pub(crate) fn expires_at(&self, now: DateTime) -> Option<DateTime> {
        self.turn.as_ref().map(|turn| turn.expires_at(now))
    }

    /// Answers a user.
    pub(crate) fn answer(&self, user: UserId, now: DateTime) -> GetIceServersResponse {
        GetIceServersResponse {
            ice_servers: self.servers(user, now),
            expires_at: self.expires_at(now).map(chat_kit::time::to_timestamp),
        }
    }
}

impl Turn {
    /// Returns a whole second: the name that is given holds no fractions.
    fn expires_at(&self, now: DateTime) -> DateTime {
        let millis = after(now, self.ttl).timestamp_millis();
        DateTime::from_millis(millis - millis.rem_euclid(1000))
    }

    fn server(&self, user: UserId, now: DateTime) -> IceServer {
        let expiry = self.expires_at(now).timestamp_millis() / 1000;
        let username = format!("{expiry}:{user}");
        let key = self.secret.expose().as_bytes();
        // SHA-1 is what the convention has; what is signed is short-lived and not secret.
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let credential = BASE64_STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        IceServer {
            urls: self.urls.clone(),
            username: Some(username),
            credential: Some(credential),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chat_kit::config::Secret;

    use super::*;

    const NOW: DateTime = DateTime::from_millis(1_769_847_330_999);

    #[test]
    fn credentials_are_those_of_the_convention() {
        let turn = Turn {
            urls: vec!["turn:turn.example.org:3478".to_owned()],
            secret: Secret::new("north"),
            ttl: Duration::from_hours(1),
        };
        let ice = Ice { stun: vec!["stun:stun.example.org".to_owned()], turn: Some(turn) };
        let user: UserId = "65f0c0ffee0123456789abcd".parse().expect("an id");
        let servers = ice.servers(user, NOW);
        let [stun, turn] = servers.as_slice() else { panic!("{servers:?}") };
        assert_eq!((&stun.username, &stun.credential), (&None, &None));
        assert_eq!(turn.username.as_deref(), Some("1769850930:65f0c0ffee0123456789abcd"));
        // As `openssl dgst -sha1 -hmac north -binary | base64` has it.
        assert_eq!(turn.credential.as_deref(), Some("nytZuHVbYSDnnt+gH3yh25TgpWs="));
        assert_eq!(ice.expires_at(NOW), Some(DateTime::from_millis(1_769_850_930_000)));
    }

    #[test]
    fn nobody_is_told_of_servers_that_are_not_configured() {
        let ice = Ice::default();
        assert_eq!(ice.servers(UserId::new(), NOW), []);
        assert_eq!(ice.expires_at(NOW), None);
    }
}
