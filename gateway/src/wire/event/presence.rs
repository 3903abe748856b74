//! Who comes online and goes offline, as sockets hear of it: each change, and on a new socket how it is. The
//! old families hear both under their own names. New clients hear changes alone; how it is they ask by
//! request, and whichever of the two is later counts.

use std::{cell::OnceCell, collections::BTreeMap};

use chat_proto::v1 as pb;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};
use utoipa::ToSchema;

use super::{Frame, encoded};
use crate::{
    openapi::{DESKTOP, Events, MOBILE, NEW},
    wire::{Dialect, fields::iso},
};

/// Somebody's coming or going on its way to sockets.
pub struct PresenceChanged<'a> {
    event: &'a pb::PresenceChanged,
    mobile: OnceCell<Box<RawValue>>,
    desktop: OnceCell<Box<RawValue>>,
    unified: OnceCell<Box<RawValue>>,
}

impl<'a> PresenceChanged<'a> {
    /// Wraps an event; nothing is encoded yet.
    #[must_use]
    pub fn new(event: &'a pb::PresenceChanged) -> Self {
        let cell = OnceCell::new;
        Self { event, mobile: cell(), desktop: cell(), unified: cell() }
    }

    /// Returns what a socket hears.
    pub fn frames(&self, dialect: Dialect) -> serde_json::Result<Vec<Frame<'_>>> {
        let mobile = || Ok::<Frame<'_>, serde_json::Error>(("presence", self.mobile()?));
        let desktop =
            || Ok::<Frame<'_>, serde_json::Error>(("user-status-changed", self.desktop()?));
        Ok(match dialect {
            Dialect::Flutter => vec![mobile()?],
            Dialect::Electron => vec![desktop()?],
            Dialect::Undeclared => vec![mobile()?, desktop()?],
            Dialect::Unified => vec![("presence", self.unified()?)],
        })
    }

    fn mobile(&self) -> serde_json::Result<&RawValue> {
        let pb::PresenceChanged { user_id, is_online, at, .. } = self.event;
        let at = iso(at.as_ref());
        encoded(&self.mobile, || {
            json!(Mobile {
                uid: user_id,
                online: *is_online,
                at: at.clone(),
                last_seen: at.clone()
            })
        })
    }

    fn desktop(&self) -> serde_json::Result<&RawValue> {
        let pb::PresenceChanged { user_id, is_online, at, .. } = self.event;
        let status = if *is_online { "online" } else { "offline" };
        let (is_online, last_seen) = (*is_online, iso(at.as_ref()));
        encoded(&self.desktop, || json!(Desktop { user_id, status, is_online, last_seen }))
    }

    fn unified(&self) -> serde_json::Result<&RawValue> {
        let pb::PresenceChanged { user_id, is_online, at, .. } = self.event;
        let (is_online, at) = (*is_online, iso(at.as_ref()));
        encoded(&self.unified, || json!(Unified { user_id, is_online, at }))
    }
}

/// Says whether sockets of a dialect are told how it is when they come.
#[must_use]
pub fn is_told_at_first(dialect: Dialect) -> bool {
    dialect != Dialect::Unified
}

/// Returns what a new socket of a user is told of his partners, at an instant.
#[must_use]
pub fn at_first(
    dialect: Dialect,
    user_id: &str,
    partners: &[pb::Presence],
    now: &prost_types::Timestamp,
) -> Vec<(&'static str, Value)> {
    let mobile = || ("presence:initial", states(partners, now));
    let desktop = || ("online-users", online(user_id, partners));
    match dialect {
        Dialect::Flutter => vec![mobile()],
        Dialect::Electron => vec![desktop()],
        Dialect::Undeclared => vec![mobile(), desktop()],
        Dialect::Unified => vec![],
    }
}

fn states(partners: &[pb::Presence], now: &prost_types::Timestamp) -> Value {
    let mut users = BTreeMap::new();
    for partner in partners {
        let (online, at) = (partner.is_online, iso(partner.last_seen_at.as_ref()));
        let state = State { online, is_online: online, at: at.clone(), last_seen: at };
        users.insert(partner.user_id.as_str(), state);
    }
    json!(Initial { users, timestamp: iso(Some(now)) })
}

fn online(user_id: &str, partners: &[pb::Presence]) -> Value {
    let online = partners.iter().filter(|partner| partner.is_online);
    let online = online.map(|partner| partner.user_id.as_str());
    json!(OnlineUsers(std::iter::once(user_id).chain(online).collect()))
}

/// Somebody's coming or going, to the mobile family.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LivePresence)]
struct Mobile<'a> {
    uid: &'a str,
    online: bool,
    at: Option<String>,
    last_seen: Option<String>,
}

/// Somebody's coming or going, to the desktop family.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserStatus)]
struct Desktop<'a> {
    user_id: &'a str,
    /// `online` or `offline`.
    status: &'a str,
    is_online: bool,
    last_seen: Option<String>,
}

/// Somebody's coming or going, to new clients.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedLivePresence)]
struct Unified<'a> {
    user_id: &'a str,
    is_online: bool,
    at: Option<String>,
}

/// How it is when a socket comes, to the mobile family.
#[derive(Serialize, ToSchema)]
#[schema(as = InitialPresence)]
struct Initial<'a> {
    /// The partners, by id.
    users: BTreeMap<&'a str, State>,
    timestamp: Option<String>,
}

/// Whether a partner is online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = InitialState)]
struct State {
    online: bool,
    is_online: bool,
    at: Option<String>,
    last_seen: Option<String>,
}

/// The ids of the user and of his partners who are online.
#[derive(Serialize, ToSchema)]
struct OnlineUsers<'a>(Vec<&'a str>);

/// Says which events these are.
pub(super) fn events(events: &mut Events) {
    let changed = "A partner came online or went offline, or is seen so from now on";
    events.heard::<Mobile<'_>>(MOBILE, "presence", changed);
    events.heard::<Desktop<'_>>(DESKTOP, "user-status-changed", changed);
    events.heard::<Unified<'_>>(NEW, "presence", changed);
    let at_first = "How it is when the socket comes";
    events.heard::<Initial<'_>>(MOBILE, "presence:initial", at_first);
    events.heard::<OnlineUsers<'_>>(DESKTOP, "online-users", at_first);
}

#[cfg(test)]
mod tests {
    use prost_types::Timestamp;

    use super::*;

    const AT: Timestamp = Timestamp { seconds: 1_769_847_330, nanos: 7_000_000 };
    const WRITTEN: &str = "2026-01-31T08:15:30.007Z";

    #[test]
    fn every_dialect_hears_of_a_change_under_its_own_name() {
        for is_online in [true, false] {
            let event = pb::PresenceChanged {
                user_id: "u".to_owned(),
                is_online,
                at: Some(AT),
                number: 7,
                ..Default::default()
            };
            let event = PresenceChanged::new(&event);
            let mobile =
                json!({ "uid": "u", "online": is_online, "at": WRITTEN, "lastSeen": WRITTEN });
            let status = if is_online { "online" } else { "offline" };
            let desktop = json!({
                "userId": "u", "status": status, "isOnline": is_online, "lastSeen": WRITTEN,
            });
            let unified = json!({ "userId": "u", "isOnline": is_online, "at": WRITTEN });
            let (mobile, desktop) = (("presence", mobile), ("user-status-changed", desktop));
            for (dialect, expected) in [
                (Dialect::Flutter, vec![mobile.clone()]),
                (Dialect::Electron, vec![desktop.clone()]),
                (Dialect::Undeclared, vec![mobile, desktop]),
                (Dialect::Unified, vec![("presence", unified)]),
            ] {
                let frames = event.frames(dialect).expect("encodable").into_iter();
                let heard: Vec<(&str, Value)> = frames
                    .map(|(name, body)| (name, serde_json::from_str(body.get()).expect("JSON")))
                    .collect();
                assert_eq!(heard, expected, "{dialect:?}");
            }
        }
    }

    #[test]
    fn old_families_are_told_at_first_how_it_is() {
        let partner = |user_id: &str, is_online| pb::Presence {
            user_id: user_id.to_owned(),
            is_online,
            last_seen_at: Some(AT),
            number: 1,
        };
        let partners = [partner("a", true), partner("b", false)];
        let state = |is_online: bool| json!({ "online": is_online, "isOnline": is_online, "at": WRITTEN, "lastSeen": WRITTEN });
        let users = json!({ "a": state(true), "b": state(false) });
        let mobile = ("presence:initial", json!({ "users": users, "timestamp": WRITTEN }));
        let desktop = ("online-users", json!(["me", "a"]));
        for (dialect, expected) in [
            (Dialect::Flutter, vec![mobile.clone()]),
            (Dialect::Electron, vec![desktop.clone()]),
            (Dialect::Undeclared, vec![mobile, desktop]),
            (Dialect::Unified, vec![]),
        ] {
            assert_eq!(at_first(dialect, "me", &partners, &AT), expected, "{dialect:?}");
            assert_eq!(is_told_at_first(dialect), !expected.is_empty());
        }
        let [(_, alone)] = &at_first(Dialect::Flutter, "me", &[], &AT)[..] else { panic!("one") };
        assert_eq!(alone["users"], json!({}));
    }
}
