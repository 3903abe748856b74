//! The list of users and searches in it.

use axum::{http::StatusCode, response::Response};
use chat_proto::v1 as pb;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Item, Unified};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
    wire::{Dialect, envelope, fields},
};

/// Length of a page that does not say how long.
const DEFAULT_LIMIT: u32 = 20;
/// Longest page of a search of old clients.
const MOST_FOUND_FOR_OLD: u32 = 20;
/// Characters that a search must have, lest it find everybody.
const SHORTEST_SEARCH: usize = 2;

/// The parameters of the list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Listing {
    search: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    page: Option<i64>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// The parameters of a search.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub struct Find {
    q: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    cursor: Option<String>,
}

/// What surrounds the users in an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// Nothing, for old paths without prefix.
    Bare,
    /// The success alone.
    Found,
    /// How the pages go on, for clients that count them.
    Paged {
        /// Number of the page, from 1.
        page: u32,
        /// Length of a page.
        limit: u32,
    },
    /// How the list goes on, for new clients.
    Unified,
}

impl Listing {
    /// Makes the canonical request, and decides the shape of the answer.
    pub fn into_request(
        self,
        dialect: Dialect,
        is_prefixed: bool,
    ) -> Result<(pb::ListUsersRequest, Shape), ApiError> {
        let limit = fields::page_limit(self.limit, DEFAULT_LIMIT);
        let page = self.page.map_or(1, |page| u32::try_from(page.max(1)).unwrap_or(u32::MAX));
        let cursor = self.cursor.unwrap_or_default();
        let shape = match dialect {
            Dialect::Unified => Shape::Unified,
            Dialect::Flutter | Dialect::Undeclared if !is_prefixed => Shape::Bare,
            _ => Shape::Paged { page, limit },
        };
        if !cursor.is_empty() && page > 1 {
            return Err(ApiError::validation("page and cursor exclude each other"));
        }
        let request = pb::ListUsersRequest {
            search: self.search.unwrap_or_default(),
            page: Some(pb::PageRequest { limit, cursor }),
            skip: (page - 1).saturating_mul(limit),
            with_total: !matches!(shape, Shape::Bare),
        };
        Ok((request, shape))
    }
}

impl Find {
    /// Makes the canonical request, and decides the shape of the answer; there is no request for a text
    /// that is too short.
    #[must_use]
    pub fn into_request(
        self,
        dialect: Dialect,
        is_prefixed: bool,
    ) -> (Option<pb::ListUsersRequest>, Shape) {
        let search = self.q.unwrap_or_default().trim().to_owned();
        let shape = match dialect {
            Dialect::Flutter | Dialect::Undeclared if !is_prefixed => Shape::Bare,
            _ => Shape::Found,
        };
        if search.chars().count() < SHORTEST_SEARCH {
            return (None, shape);
        }
        let limit = fields::page_limit(self.limit, DEFAULT_LIMIT);
        let limit = if dialect == Dialect::Unified { limit } else { limit.min(MOST_FOUND_FOR_OLD) };
        let page = Some(pb::PageRequest { limit, cursor: self.cursor.unwrap_or_default() });
        (Some(pb::ListUsersRequest { search, page, ..Default::default() }), shape)
    }
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Found<'a, T> {
    #[schema(inline)]
    users: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Paged<'a, T> {
    #[schema(inline)]
    users: Vec<T>,
    pagination: Pagination,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<&'a str>,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserPagination)]
struct Pagination {
    total_pages: u32,
    current_page: u32,
    total: u32,
    limit: u32,
}

#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct UnifiedPage<'a, T> {
    #[schema(inline)]
    users: Vec<T>,
    total: u32,
    next_cursor: Option<&'a str>,
}

/// Answers with users.
#[must_use]
pub fn listed(dialect: Dialect, shape: Shape, list: &pb::ListUsersResponse) -> Response {
    let items = || list.users.iter().map(Item::from).collect::<Vec<_>>();
    let unified = || list.users.iter().map(Unified::from).collect::<Vec<_>>();
    let total = list.total.unwrap_or_default();
    let next = list.page.as_ref().map(|page| page.next_cursor.as_str());
    let next_cursor = next.filter(|cursor| !cursor.is_empty());
    match shape {
        Shape::Bare => envelope::json(StatusCode::OK, &items()),
        Shape::Found if dialect == Dialect::Unified => {
            envelope::ok(Found { users: unified(), next_cursor })
        }
        Shape::Found => envelope::ok(Found { users: items(), next_cursor }),
        Shape::Paged { page, limit } => {
            let total_pages = total.div_ceil(limit.max(1));
            let pagination = Pagination { total_pages, current_page: page, total, limit };
            envelope::ok(Paged { users: items(), pagination, next_cursor })
        }
        Shape::Unified => envelope::ok(UnifiedPage { users: unified(), total, next_cursor }),
    }
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let bare = || Form::bare::<Vec<Item<'_>>>("For clients that declare `flutter` or nothing");
    let unified = Form::unified::<UnifiedPage<'_, Unified<'_>>>;
    let paged = Form::old::<Paged<'_, Item<'_>>>;
    schemas.answer("UserListAnswer", [paged(), unified()]);
    schemas.answer("BareUserListAnswer", [bare(), paged(), unified()]);
    let unified = Form::unified::<Found<'_, Unified<'_>>>;
    let found = Form::old::<Found<'_, Item<'_>>>;
    schemas.answer("FoundUsersAnswer", [found(), unified()]);
    schemas.answer("BareFoundUsersAnswer", [bare(), found(), unified()]);
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    const DIALECTS: [Dialect; 4] =
        [Dialect::Electron, Dialect::Flutter, Dialect::Undeclared, Dialect::Unified];

    fn listing(query: &str) -> Listing {
        fields::read(fields::pairs(query.as_bytes()).expect("pairs")).expect("parameters")
    }

    #[test]
    fn pages_become_users_to_pass_over() {
        for (query, skip, limit) in [
            ("", 0, 20),
            ("page=3&limit=10", 20, 10),
            ("page=0&limit=0", 0, 1),
            ("page=-5&limit=-5", 0, 1),
            ("limit=1000&page=2", 100, 100),
            ("page=9223372036854775807", u32::MAX, 20),
        ] {
            let asked = listing(query).into_request(Dialect::Undeclared, true);
            let (request, _) = asked.expect("a request");
            let asked = (request.skip, request.page.expect("a page").limit);
            assert_eq!(asked, (skip, limit), "{query}");
        }
        let pairs = fields::pairs(b"page=many").expect("pairs");
        assert_eq!(fields::read::<Listing>(pairs).expect_err("no page").error, "validation_error");
        let both = listing("page=2&cursor=x").into_request(Dialect::Unified, true);
        assert_eq!(both.expect_err("both").error, "validation_error");
    }

    #[test]
    fn path_and_dialect_decide_the_shape() {
        let paged = Shape::Paged { page: 1, limit: 20 };
        for (dialect, (prefixed, bare), (found, bare_found)) in [
            (Dialect::Electron, (paged, paged), (Shape::Found, Shape::Found)),
            (Dialect::Flutter, (paged, Shape::Bare), (Shape::Found, Shape::Bare)),
            (Dialect::Undeclared, (paged, Shape::Bare), (Shape::Found, Shape::Bare)),
            (Dialect::Unified, (Shape::Unified, Shape::Unified), (Shape::Found, Shape::Found)),
        ] {
            for (is_prefixed, list, search) in [(true, prefixed, found), (false, bare, bare_found)]
            {
                let asked = listing("").into_request(dialect, is_prefixed);
                assert_eq!(asked.expect("a request").1, list, "{dialect:?} {is_prefixed}");
                let asked = Find::default().into_request(dialect, is_prefixed);
                assert_eq!(asked.1, search, "{dialect:?} {is_prefixed}");
            }
        }
    }

    #[test]
    fn search_of_less_than_two_characters_asks_for_nobody() {
        for (q, is_asked) in [("", false), (" a ", false), ("ö", false), ("öä", true), ("ad", true)]
        {
            for dialect in DIALECTS {
                let find = Find { q: Some(q.to_owned()), ..Default::default() };
                let (request, _) = find.into_request(dialect, true);
                assert_eq!(request.is_some(), is_asked, "{q}");
            }
        }
    }

    #[test]
    fn searches_page_and_those_of_old_clients_by_less() {
        for (limit, unified, old) in [("500", 100, 20), ("", 20, 20), ("7", 7, 7), ("0", 1, 1)] {
            for dialect in DIALECTS {
                let given = json!({ "q": "ada", "cursor": "c", "limit": limit });
                let find: Find = fields::read(given).expect("parameters");
                let request = find.into_request(dialect, true).0.expect("a request");
                let expected = if dialect == Dialect::Unified { unified } else { old };
                let page = request.page.expect("a page");
                assert_eq!((page.limit, page.cursor.as_str()), (expected, "c"), "{dialect:?}");
            }
        }
    }

    async fn body(dialect: Dialect, shape: Shape, next_cursor: &str) -> Value {
        let list = pb::ListUsersResponse {
            users: vec![pb::User {
                id: "1".to_owned(),
                name: "Ada".to_owned(),
                ..Default::default()
            }],
            page: Some(pb::PageResponse { next_cursor: next_cursor.to_owned() }),
            total: Some(41),
        };
        let response = listed(dialect, shape, &list);
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[tokio::test]
    async fn list_is_written_in_each_shape() {
        let item = json!({
            "_id": "1", "id": "1", "name": "Ada", "phone": null, "avatar": null, "avatarUrl": null,
            "bio": null, "isOnline": false, "lastSeen": null,
        });
        let undeclared = Dialect::Undeclared;
        assert_eq!(body(undeclared, Shape::Bare, "c").await, json!([item]));
        let mut found = json!({ "success": true, "users": [item] });
        assert_eq!(body(undeclared, Shape::Found, "").await, found);
        found["nextCursor"] = json!("c");
        assert_eq!(body(undeclared, Shape::Found, "c").await, found);
        let second = Shape::Paged { page: 2, limit: 20 };
        let pagination = json!({ "totalPages": 3, "currentPage": 2, "total": 41, "limit": 20 });
        let mut paged = json!({ "success": true, "users": [item], "pagination": pagination });
        assert_eq!(body(Dialect::Electron, second, "").await, paged);
        paged["nextCursor"] = json!("c");
        assert_eq!(body(Dialect::Electron, second, "c").await, paged);
        let unified = body(Dialect::Unified, Shape::Unified, "c").await;
        assert_eq!((&unified["nextCursor"], &unified["total"]), (&json!("c"), &json!(41)));
        for shape in [Shape::Unified, Shape::Found] {
            let page = body(Dialect::Unified, shape, "c").await;
            let user = &page["users"][0];
            assert_eq!((&user["id"], user.get("_id")), (&json!("1"), None));
            assert_eq!(page["nextCursor"], "c");
        }
    }
}
