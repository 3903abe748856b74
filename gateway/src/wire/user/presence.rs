//! Who is online, in the shapes that each family asks for.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::SystemTime,
};

use axum::{http::StatusCode, response::Response};
use chat_kit::{id::UserId, time::to_timestamp};
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};

use super::MOST_IDS;
use crate::{
    openapi::{Form, Schemas, UNIFIED},
    wire::{Dialect, envelope, fields::iso},
};

/// Keys of an answer that nobody's id may take: one client takes every other key for an id, and `online`
/// for a list.
const TAKEN: [&str; 3] = ["success", "presence", "online"];

/// The parameters of a question for presence.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct AskedPresence {
    ids: Option<String>,
    verbose: Option<String>,
}

impl AskedPresence {
    /// Returns what was asked for, as it was given; nothing where all partners are meant.
    fn given(&self) -> BTreeSet<&str> {
        let items = self.ids.as_deref().unwrap_or_default().split(',');
        items.map(str::trim).filter(|item| !item.is_empty()).collect()
    }

    /// Makes the canonical request: the ids among what is given. There is none where nothing is given.
    #[must_use]
    pub fn request(&self) -> Option<pb::GetPresenceRequest> {
        let given = self.given();
        if given.is_empty() {
            return None;
        }
        let ids: BTreeSet<UserId> = given.iter().filter_map(|item| item.parse().ok()).collect();
        let user_ids = ids.into_iter().take(MOST_IDS).map(|id| id.to_string()).collect();
        Some(pb::GetPresenceRequest { user_ids })
    }

    fn is_verbose(&self) -> bool {
        matches!(self.verbose.as_deref(), Some("1" | "true"))
    }

    /// Answers with an entry for all that was given, known or not. Without prefix the old clients read the
    /// bare map.
    #[must_use]
    pub fn write(
        &self,
        dialect: Dialect,
        is_prefixed: bool,
        presences: &[pb::Presence],
        now: SystemTime,
    ) -> Response {
        let known: HashMap<&str, &pb::Presence> =
            presences.iter().map(|presence| (presence.user_id.as_str(), presence)).collect();
        let entries = self.given().into_iter().map(|item| {
            let id: Option<UserId> = item.parse().ok();
            let presence = id.and_then(|id| known.get(id.to_string().as_str()).copied());
            (item, self.entry(dialect, presence, now))
        });
        let entries: Entries<'_> = entries.collect();
        let is_bare = !is_prefixed && matches!(dialect, Dialect::Flutter | Dialect::Undeclared);
        if dialect == Dialect::Unified {
            return envelope::ok(Nested { presence: &entries });
        }
        let top = entries.iter().filter(|(item, _)| !TAKEN.contains(item));
        let top: BTreeMap<_, _> = top.map(|(item, entry)| (*item, entry)).collect();
        if is_bare {
            return envelope::json(StatusCode::OK, &top);
        }
        envelope::ok(Twice { presence: &entries, top })
    }

    fn entry(&self, dialect: Dialect, presence: Option<&pb::Presence>, now: SystemTime) -> Value {
        let is_online = presence.is_some_and(|presence| presence.is_online);
        let last_seen = presence.and_then(|presence| iso(presence.last_seen_at.as_ref()));
        if dialect == Dialect::Unified {
            return json!(Unified { is_online, last_seen_at: last_seen });
        }
        if !self.is_verbose() {
            return is_online.into();
        }
        // One client asks again and again while this is missing.
        let at = last_seen.clone().or_else(|| instant(now));
        json!(Status { online: is_online, is_online, at, last_seen })
    }

    /// Answers for those who are online among the caller's partners.
    #[must_use]
    pub fn write_all(&self, dialect: Dialect, presences: &[pb::Presence]) -> Response {
        let ids = || presences.iter().map(|presence| presence.user_id.as_str());
        if dialect != Dialect::Unified && !self.is_verbose() {
            let online = presences.iter().filter(|presence| presence.is_online);
            let online = online.map(|presence| presence.user_id.as_str()).collect();
            return envelope::ok(Online { online });
        }
        let now = SystemTime::now();
        let entries = presences.iter().map(|presence| self.entry(dialect, Some(presence), now));
        envelope::ok(Nested { presence: &ids().zip(entries).collect() })
    }
}

/// How many users are online.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OnlineCount)]
struct Count {
    online_count: u32,
}

/// Answers with how many users are online.
#[must_use]
pub fn online_count(online_count: u32) -> Response {
    envelope::ok(Count { online_count })
}

fn instant(now: SystemTime) -> Option<String> {
    iso(Some(&to_timestamp(bson::DateTime::from_system_time(now))))
}

type Entries<'a> = BTreeMap<&'a str, Value>;

#[derive(Serialize)]
struct Nested<'a> {
    presence: &'a Entries<'a>,
}

#[derive(Serialize, ToSchema)]
struct Online<'a> {
    online: Vec<&'a str>,
}

/// Some clients read below `presence`, others at the top.
#[derive(Serialize)]
struct Twice<'a> {
    presence: &'a Entries<'a>,
    #[serde(flatten)]
    top: BTreeMap<&'a str, &'a Value>,
}

/// Somebody's presence as both old families read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PresenceStatus)]
struct Status {
    online: bool,
    is_online: bool,
    at: Option<String>,
    last_seen: Option<String>,
}

/// Somebody's presence as new clients read it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UnifiedPresence)]
struct Unified {
    is_online: bool,
    last_seen_at: Option<String>,
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let below = |entry| {
        json!({ "type": "object", "required": ["success", "presence"], "properties": {
            "success": { "type": "boolean", "const": true },
            "presence": { "type": "object", "additionalProperties": entry },
        }})
    };
    let old = |status| json!({ "anyOf": [{ "type": "boolean" }, status] });
    let twice = |status: Value| {
        let mut schema = below(old(status.clone()));
        schema["additionalProperties"] = old(status);
        schema
    };
    let forms = || {
        [
            Form::made::<Status>("Old", "For ids, for the old families", twice),
            Form::other::<Online<'_>>("Online", "Without ids, for the old families"),
            Form::made::<Unified>("Unified", UNIFIED, below),
        ]
    };
    schemas.answer("PresenceAnswer", forms());
    let when = "For ids, for clients that declare `flutter` or nothing";
    let bare = Form::made::<Status>(
        "Bare",
        when,
        |status| json!({ "type": "object", "additionalProperties": old(status) }),
    );
    schemas.answer("BarePresenceAnswer", forms().into_iter().chain([bare]));
    schemas.answer("OnlineCountAnswer", [Form::same::<Count>()]);
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use axum::body::to_bytes;

    use super::*;

    const ADA: &str = "65f0c0ffee0123456789abcd";
    const NOBODY: &str = "65f0c0ffee0123456789abce";
    const SEEN: &str = "2026-01-31T08:15:30.123Z";
    const NOW: &str = "2026-01-31T09:00:01.000Z";

    fn asked(ids: &str, verbose: Option<&str>) -> AskedPresence {
        AskedPresence { ids: Some(ids.to_owned()), verbose: verbose.map(str::to_owned) }
    }

    fn ada(is_online: bool) -> pb::Presence {
        let seen = prost_types::Timestamp { seconds: 1_769_847_330, nanos: 123_000_000 };
        pb::Presence { user_id: ADA.to_owned(), is_online, last_seen_at: Some(seen), number: 1 }
    }

    async fn read(response: Response) -> Value {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    async fn body(asked: &AskedPresence, dialect: Dialect, is_prefixed: bool) -> Value {
        let now = UNIX_EPOCH + Duration::from_secs(1_769_850_001);
        read(asked.write(dialect, is_prefixed, &[ada(true)], now)).await
    }

    #[test]
    fn only_ids_are_asked_for_and_each_once() {
        let request = asked(&format!("{ADA}, x,{ADA},,{}", ADA.to_uppercase()), None).request();
        assert_eq!(request.expect("a request").user_ids, [ADA]);
        assert_eq!(asked("x,y", None).request().expect("a request").user_ids.len(), 0);
        for ids in ["", " ", ",,"] {
            assert_eq!(asked(ids, None).request(), None, "{ids}");
        }
        let many: Vec<String> = (0..1500).map(|index| format!("{index:024x}")).collect();
        let request = asked(&many.join(","), None).request().expect("a request");
        assert_eq!(request.user_ids.len(), 1400);
    }

    #[tokio::test]
    async fn everybody_who_was_given_has_an_entry_at_the_top_and_below() {
        let asked = asked(&format!("{ADA},{NOBODY},x"), None);
        let entries = json!({ ADA: true, NOBODY: false, "x": false });
        for dialect in [Dialect::Undeclared, Dialect::Flutter, Dialect::Electron] {
            let expected = json!({
                "success": true, "presence": entries, ADA: true, NOBODY: false, "x": false,
            });
            assert_eq!(body(&asked, dialect, true).await, expected);
            let bare = body(&asked, dialect, false).await;
            let expected = if dialect == Dialect::Electron { &expected } else { &entries };
            assert_eq!(bare, *expected);
        }
    }

    #[tokio::test]
    async fn verbose_entries_always_say_since_when() {
        for verbose in ["1", "true"] {
            let asked = asked(&format!("{ADA},{NOBODY}"), Some(verbose));
            let ada = json!({ "online": true, "isOnline": true, "at": SEEN, "lastSeen": SEEN });
            let nobody = json!({ "online": false, "isOnline": false, "at": NOW, "lastSeen": null });
            let expected = json!({
                "success": true, "presence": { ADA: ada, NOBODY: nobody }, ADA: ada, NOBODY: nobody,
            });
            assert_eq!(body(&asked, Dialect::Undeclared, true).await, expected);
        }
        for not_verbose in ["false", "0", ""] {
            let asked = asked(ADA, Some(not_verbose));
            assert_eq!(body(&asked, Dialect::Undeclared, true).await[ADA], true);
        }
    }

    #[tokio::test]
    async fn nobody_is_called_as_the_answer_itself() {
        for verbose in [None, Some("1")] {
            let asked = asked("online,success,presence", verbose);
            for is_prefixed in [true, false] {
                let body = body(&asked, Dialect::Undeclared, is_prefixed).await;
                assert_eq!(body.get("online"), None, "{body}");
                assert_ne!(body.get("success"), Some(&json!(false)), "{body}");
            }
        }
    }

    #[tokio::test]
    async fn new_clients_read_one_spelling() {
        for verbose in [None, Some("1")] {
            let asked = asked(&format!("{ADA},{NOBODY}"), verbose);
            let expected = json!({ "success": true, "presence": {
                ADA: { "isOnline": true, "lastSeenAt": SEEN },
                NOBODY: { "isOnline": false, "lastSeenAt": null },
            }});
            for is_prefixed in [true, false] {
                assert_eq!(body(&asked, Dialect::Unified, is_prefixed).await, expected);
            }
        }
    }

    #[tokio::test]
    async fn without_ids_those_online_are_listed() {
        for (is_online, listed) in [(true, json!([ADA])), (false, json!([]))] {
            let answer = asked("", None).write_all(Dialect::Undeclared, &[ada(is_online)]);
            assert_eq!(read(answer).await, json!({ "success": true, "online": listed }));
        }
        let verbose = asked("", Some("1")).write_all(Dialect::Electron, &[ada(false)]);
        let ada = json!({ "online": false, "isOnline": false, "at": SEEN, "lastSeen": SEEN });
        assert_eq!(read(verbose).await, json!({ "success": true, "presence": { ADA: ada } }));
        let unified = asked("", None).write_all(Dialect::Unified, &[]);
        assert_eq!(read(unified).await, json!({ "success": true, "presence": {} }));
        let count = read(online_count(3)).await;
        assert_eq!(count, json!({ "success": true, "onlineCount": 3 }));
    }
}
