//! Blocks: what is answered to them, and how their list looks.

use std::collections::HashMap;

use axum::response::Response;
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{
    Dialect, envelope, fields,
    user::{Item, Unified},
};
use crate::openapi::{Form, Schemas};

/// Length of a page that does not say how long.
const DEFAULT_LIMIT: u32 = 50;

/// The parameters of the list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    cursor: Option<String>,
}

impl Listing {
    /// Makes the canonical request.
    #[must_use]
    pub fn into_request(self) -> pb::ListBlockedRequest {
        let limit = fields::page_limit(self.limit, DEFAULT_LIMIT);
        let cursor = self.cursor.unwrap_or_default();
        pb::ListBlockedRequest { page: Some(pb::PageRequest { limit, cursor }) }
    }
}

#[derive(Serialize, ToSchema)]
struct Done {
    blocked: bool,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OldBlockedPage)]
struct OldPage<'a, T> {
    #[schema(inline)]
    users: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = BlockedPage)]
struct Page<'a, T> {
    #[schema(inline)]
    users: Vec<T>,
    next_cursor: Option<&'a str>,
}

/// Answers whether the user is blocked now.
#[must_use]
pub fn done(blocked: bool) -> Response {
    envelope::ok(Done { blocked })
}

/// Answers with a page of blocked users. One without a profile is shown by his id, so that he can be
/// unblocked.
#[must_use]
pub fn listed(
    dialect: Dialect,
    listed: &pb::ListBlockedResponse,
    users: Vec<pb::User>,
) -> Response {
    let mut found: HashMap<String, pb::User> =
        users.into_iter().map(|user| (user.id.clone(), user)).collect();
    let ids = listed.user_ids.iter();
    let unknown = |id: &String| pb::User { id: id.clone(), ..Default::default() };
    let users: Vec<pb::User> =
        ids.map(|id| found.remove(id).unwrap_or_else(|| unknown(id))).collect();
    let next = listed.page.as_ref().map(|page| page.next_cursor.as_str());
    let next_cursor = next.filter(|cursor| !cursor.is_empty());
    match dialect {
        Dialect::Unified => {
            envelope::ok(Page { users: users.iter().map(Unified::from).collect(), next_cursor })
        }
        _ => envelope::ok(OldPage { users: users.iter().map(Item::from).collect(), next_cursor }),
    }
}

/// Adds the answers about blocks.
pub(super) fn answers(schemas: &mut Schemas) {
    schemas.answer("BlockAnswer", [Form::same::<Done>()]);
    let unified = Form::unified::<Page<'_, Unified<'_>>>();
    schemas.answer("BlockedUsersAnswer", [Form::old::<OldPage<'_, Item<'_>>>(), unified]);
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    async fn body(response: Response) -> Value {
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    async fn list(dialect: Dialect, next_cursor: &str) -> Value {
        let users = ["2", "1"].map(str::to_owned);
        let page = Some(pb::PageResponse { next_cursor: next_cursor.to_owned() });
        let response = pb::ListBlockedResponse { user_ids: users.to_vec(), page };
        let ada = pb::User { id: "1".to_owned(), name: "Ada".to_owned(), ..Default::default() };
        body(listed(dialect, &response, vec![ada])).await
    }

    #[tokio::test]
    async fn answer_says_whether_the_user_is_blocked() {
        for blocked in [true, false] {
            let expected = json!({ "success": true, "blocked": blocked });
            assert_eq!(body(done(blocked)).await, expected);
        }
    }

    #[tokio::test]
    async fn blocked_users_are_listed_in_order_also_without_a_profile() {
        let item = |id: &str, name: &str| {
            json!({
                "_id": id, "id": id, "name": name, "phone": null, "avatar": null,
                "avatarUrl": null, "bio": null, "isOnline": false, "lastSeen": null,
            })
        };
        for dialect in [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared] {
            let users = [item("2", ""), item("1", "Ada")];
            let whole = json!({ "success": true, "users": users });
            assert_eq!(list(dialect, "").await, whole, "{dialect:?}");
            let page = json!({ "success": true, "users": users, "nextCursor": "c" });
            assert_eq!(list(dialect, "c").await, page, "{dialect:?}");
        }
        for (cursor, next) in [("c", json!("c")), ("", Value::Null)] {
            let unified = list(Dialect::Unified, cursor).await;
            let ids = [&unified["users"][0]["id"], &unified["users"][1]["id"]];
            assert_eq!((ids, &unified["nextCursor"]), ([&json!("2"), &json!("1")], &next));
            assert!(unified["users"][0].get("_id").is_none());
        }
    }

    #[test]
    fn page_is_limited() {
        for (query, limit, cursor) in [
            ("", 50, ""),
            ("limit=7&cursor=c", 7, "c"),
            ("limit=1000", 100, ""),
            ("limit=0", 1, ""),
        ] {
            let pairs = fields::pairs(query.as_bytes()).expect("pairs");
            let listing: Listing = fields::read(pairs).expect("parameters");
            let page = listing.into_request().page.expect("a page");
            assert_eq!((page.limit, page.cursor.as_str()), (limit, cursor), "{query}");
        }
    }
}
