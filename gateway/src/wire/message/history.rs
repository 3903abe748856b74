//! What a client may ask of a conversation's history, and the shape of the answer.

use axum::{http::StatusCode, response::Response};
use chat_kit::id::UserId;
use chat_proto::v1::{
    self as pb,
    list_messages_request::{Position, Target},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::render::{HistoryItem, UnifiedItem};
use crate::{
    error::ApiError,
    openapi::{Form, Schemas},
    wire::{Dialect, envelope, fields},
};

/// Page of a client that pages but does not say how long.
const DEFAULT_LIMIT: u32 = 50;
/// What a client gets that never pages.
const WHOLE_HISTORY: u32 = 1000;

/// By which path the history is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum View {
    /// The old path without prefix: always a bare list.
    Bare,
    /// The common path: the parameters decide.
    ByQuery,
    /// The path that names the conversation: always an envelope.
    Of(String),
}

/// The parameters of a history, in every spelling.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", default)]
#[into_params(parameter_in = Query)]
pub struct Query {
    conversation_id: Option<String>,
    conversation: Option<String>,
    user_a: Option<String>,
    user_b: Option<String>,
    #[serde(deserialize_with = "fields::whole")]
    page: Option<i64>,
    #[serde(deserialize_with = "fields::whole")]
    limit: Option<i64>,
    after: Option<String>,
    before: Option<String>,
}

/// The shape of the answer to a history, decided with the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A list.
    Bare,
    /// An envelope with the page's place in the whole.
    Enveloped {
        /// Number of the page.
        page: u32,
        /// Length of a page.
        limit: u32,
    },
    /// The canonical envelope; the page's place only where pages were asked for.
    Unified {
        /// Number and length of the page.
        page: Option<(u32, u32)>,
        /// Who asks, and alone sees the ids that his client gave.
        caller: UserId,
    },
}

impl Query {
    /// Folds the parameters into the canonical request, and decides the shape of the answer.
    pub fn into_request(
        self,
        view: View,
        dialect: Dialect,
        caller: UserId,
    ) -> Result<(pb::ListMessagesRequest, Answer), ApiError> {
        let is_bare = match (dialect, &view) {
            (Dialect::Electron | Dialect::Unified, _) | (_, View::Of(_)) => false,
            (_, View::Bare) => true,
            (_, View::ByQuery) => !is_given(self.conversation_id.as_ref()),
        };
        let default = if is_bare { WHOLE_HISTORY } else { DEFAULT_LIMIT };
        let limit = fields::page_limit(self.limit, default);
        let page = u32::try_from(self.page.unwrap_or(1).max(1)).unwrap_or(u32::MAX);
        let before = fields::first([self.before.clone()]);
        let before = before.map(|text| fields::instant("before", &text));
        let after = fields::first([self.after.clone()]).filter(|_| dialect == Dialect::Unified);
        let after = after.map(|text| fields::whole_number("after", &text)).transpose()?;
        let request = pb::ListMessagesRequest {
            target: Some(self.target(view, caller)?),
            limit,
            before: before.transpose()?,
            position: Some(after.map_or(Position::Page(page), Position::AfterSeq)),
            // New clients count the numbers, and see that none is missing.
            show_deleted: dialect == Dialect::Unified,
        };
        let answer = match (dialect, is_bare) {
            (Dialect::Unified, _) => {
                Answer::Unified { page: after.is_none().then_some((page, limit)), caller }
            }
            (_, true) => Answer::Bare,
            (_, false) => Answer::Enveloped { page, limit },
        };
        Ok((request, answer))
    }

    fn target(self, view: View, caller: UserId) -> Result<Target, ApiError> {
        let in_path = match view {
            View::Of(id) => Some(id),
            View::Bare | View::ByQuery => None,
        };
        if let Some(id) = fields::first([in_path, self.conversation_id, self.conversation]) {
            let id = fields::conversation_id("conversation", &id)?;
            return Ok(Target::ConversationId(id.to_string()));
        }
        let (Some(a), Some(b)) = (fields::first([self.user_a]), fields::first([self.user_b]))
        else {
            return Err(ApiError::validation("a conversation, or userA and userB, are needed"));
        };
        let a = fields::user_id("userA", &a)?;
        let b = fields::user_id("userB", &b)?;
        let peer = match (a == caller, b == caller) {
            (true, _) => b,
            (false, true) => a,
            (false, false) => {
                return Err(ApiError::forbidden("the caller is neither of the two"));
            }
        };
        Ok(Target::UserId(peer.to_string()))
    }
}

fn is_given(value: Option<&String>) -> bool {
    value.is_some_and(|value| !value.is_empty())
}

#[derive(Serialize, ToSchema)]
#[schema(as = MessageList)]
struct Enveloped<T> {
    #[schema(inline)]
    messages: Vec<T>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pagination: Option<Pagination>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = MessagePagination)]
struct Pagination {
    total_pages: i64,
    current_page: u32,
    total: i64,
    limit: u32,
}

impl Pagination {
    fn new(total: i64, current_page: u32, limit: u32) -> Self {
        // The limit is at least 1.
        let total_pages = (total + i64::from(limit) - 1) / i64::from(limit);
        Self { total_pages, current_page, total, limit }
    }
}

impl Answer {
    /// Writes the history in this shape.
    #[must_use]
    pub fn write(&self, response: &pb::ListMessagesResponse) -> Response {
        let messages = &response.messages;
        let total = response.total_count;
        match *self {
            Self::Bare => {
                let items: Vec<_> = messages.iter().map(HistoryItem::from).collect();
                envelope::json(StatusCode::OK, &items)
            }
            Self::Enveloped { page, limit } => envelope::ok(Enveloped {
                messages: messages.iter().map(HistoryItem::from).collect(),
                pagination: Some(Pagination::new(total, page, limit)),
            }),
            Self::Unified { page, caller } => {
                let caller = caller.to_string();
                let seen = |message| UnifiedItem::seen_by(&caller, message);
                envelope::ok(Enveloped {
                    messages: messages.iter().map(seen).collect(),
                    pagination: page.map(|(page, limit)| Pagination::new(total, page, limit)),
                })
            }
        }
    }
}

/// Says how the answers look.
pub(super) fn answers(schemas: &mut Schemas) {
    let bare = || {
        let when = "Without `conversationId` or without prefix, for clients that declare `flutter` or \
                    nothing";
        Form::bare::<Vec<HistoryItem<'_>>>(when)
    };
    let page = Form::old::<Enveloped<HistoryItem<'_>>>;
    let unified = Form::unified::<Enveloped<UnifiedItem<'_>>>;
    schemas.answer("HistoryAnswer", [page(), bare(), unified()]);
    schemas.answer("BareHistoryAnswer", [bare(), page(), unified()]);
    schemas.answer("HistoryPageAnswer", [page(), unified()]);
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use serde_json::{Value, json};

    use super::*;

    const CALLER: &str = "65f0c0ffee0123456789abcd";
    const OTHER: &str = "65f0c0ffee0123456789abce";
    const ID: &str = "65f0c0ffee0123456789ab01";

    fn caller() -> UserId {
        CALLER.parse().expect("an id")
    }

    type Parsed = Result<(pb::ListMessagesRequest, Answer), ApiError>;

    fn parse(view: View, dialect: Dialect, query: &str) -> Parsed {
        let query: Query = fields::read(fields::pairs(query.as_bytes())?)?;
        query.into_request(view, dialect, caller())
    }

    fn by_query(query: &str) -> Parsed {
        parse(View::ByQuery, Dialect::Undeclared, query)
    }

    #[test]
    fn parameters_and_path_decide_the_shape() {
        let enveloped = Answer::Enveloped { page: 1, limit: 50 };
        let unified = Answer::Unified { page: Some((1, 50)), caller: caller() };
        let of = || View::Of(ID.to_owned());
        let pair = format!("userA={CALLER}&userB={OTHER}");
        let mobile = format!("conversation={ID}");
        let desktop = format!("conversationId={ID}");
        for (view, dialect, query, answer) in [
            (View::ByQuery, Dialect::Undeclared, &mobile, Answer::Bare),
            (View::ByQuery, Dialect::Flutter, &pair, Answer::Bare),
            (View::ByQuery, Dialect::Undeclared, &desktop, enveloped.clone()),
            (View::ByQuery, Dialect::Electron, &mobile, enveloped.clone()),
            (View::Bare, Dialect::Undeclared, &desktop, Answer::Bare),
            (View::Bare, Dialect::Electron, &mobile, enveloped.clone()),
            (of(), Dialect::Flutter, &String::new(), enveloped.clone()),
            (of(), Dialect::Unified, &String::new(), unified.clone()),
            (View::Bare, Dialect::Unified, &mobile, unified),
        ] {
            let (request, shape) = parse(view.clone(), dialect, query).expect(query);
            assert_eq!(shape, answer, "{view:?} {dialect:?} {query}");
            let limit = if shape == Answer::Bare { 1000 } else { 50 };
            assert_eq!(request.limit, limit);
            assert_eq!(request.position, Some(Position::Page(1)));
        }
    }

    #[test]
    fn limit_and_page_are_cut_to_what_there_is() {
        for (query, limit, page) in [
            ("limit=20", 20, 1),
            ("limit=0", 1, 1),
            ("limit=-5&page=-1", 1, 1),
            ("limit=5000&page=3", 100, 3),
            ("limit=&page=", 1000, 1),
            ("limit=2&limit=9", 2, 1),
            ("limit=99999999999999999999&page=5000000000", 100, u32::MAX),
            ("limit=-1e99&page=-99999999999999999999", 1, 1),
            ("after=many", 1000, 1),
        ] {
            let (request, _) = by_query(&format!("conversation={ID}&{query}")).expect(query);
            assert_eq!(request.limit, limit, "{query}");
            assert_eq!(request.position, Some(Position::Page(page)), "{query}");
        }
        for query in ["limit=many", "page=many", "before=yesterday", "limit=[1]"] {
            let error = by_query(&format!("conversation={ID}&{query}")).expect_err(query);
            assert_eq!(error.error, "validation_error", "{query}");
        }
    }

    #[test]
    fn new_clients_go_on_behind_a_number() {
        let query = format!("conversationId={ID}&after=7&limit=10");
        let (request, answer) = parse(View::ByQuery, Dialect::Unified, &query).expect("a request");
        assert_eq!(request.position, Some(Position::AfterSeq(7)));
        assert_eq!((request.limit, answer), (10, Answer::Unified { page: None, caller: caller() }));
        for (query, seq) in [("99999999999999999999", i64::MAX), ("-7", -7)] {
            let query = format!("conversationId={ID}&after={query}");
            let (request, _) = parse(View::ByQuery, Dialect::Unified, &query).expect("a request");
            assert_eq!(request.position, Some(Position::AfterSeq(seq)));
        }
        let query = format!("conversationId={ID}&after=many");
        let error = parse(View::ByQuery, Dialect::Unified, &query).expect_err("no number");
        assert_eq!(error.error, "validation_error");
    }

    #[test]
    fn pair_means_the_other_one() {
        for query in
            [format!("userA={CALLER}&userB={OTHER}"), format!("userA={OTHER}&userB={CALLER}")]
        {
            let (request, _) = by_query(&query).expect("a request");
            assert_eq!(request.target, Some(Target::UserId(OTHER.to_owned())));
        }
        let error = by_query(&format!("userA={OTHER}&userB={OTHER}")).expect_err("a stranger");
        assert_eq!(error.error, "forbidden");
    }

    #[test]
    fn refusals_have_their_names() {
        let half = format!("userA={CALLER}");
        for (query, error) in [
            ("", "validation_error"),
            (half.as_str(), "validation_error"),
            ("conversation=", "validation_error"),
            ("conversation[$ne]=x", "validation_error"),
            ("conversation=zzz", "invalid_conversation_id"),
            ("userA=zzz&userB=zzz", "invalid_id"),
        ] {
            assert_eq!(by_query(query).expect_err(query).error, error, "{query}");
        }
    }

    async fn written(answer: Answer) -> Value {
        let message = pb::Message {
            id: ID.to_owned(),
            sender_id: CALLER.to_owned(),
            client_id: Some("\"c1\"".to_owned()),
            ..Default::default()
        };
        let response = pb::ListMessagesResponse { messages: vec![message], total_count: 7 };
        let body = answer.write(&response).into_body();
        let bytes = to_bytes(body, usize::MAX).await.expect("a body");
        serde_json::from_slice(&bytes).expect("JSON")
    }

    #[tokio::test]
    async fn shapes_are_written() {
        let bare = written(Answer::Bare).await;
        assert_eq!(bare[0]["_id"], ID);
        let enveloped = written(Answer::Enveloped { page: 2, limit: 3 }).await;
        assert_eq!(enveloped["success"], true);
        assert_eq!(enveloped["messages"][0]["_id"], ID);
        let pagination = json!({ "totalPages": 3, "currentPage": 2, "total": 7, "limit": 3 });
        assert_eq!(enveloped["pagination"], pagination);
        let unified = written(Answer::Unified { page: None, caller: caller() }).await;
        assert_eq!(unified["messages"][0]["id"], ID);
        assert!(unified.get("pagination").is_none());
    }

    #[tokio::test]
    async fn id_of_the_client_is_shown_to_its_sender_alone() {
        let own = written(Answer::Unified { page: None, caller: caller() }).await;
        assert_eq!(own["messages"][0]["clientId"], "c1");
        let caller = OTHER.parse().expect("an id");
        let received = written(Answer::Unified { page: None, caller }).await;
        assert_eq!(received["messages"][0]["senderId"], CALLER);
        assert!(received["messages"][0].get("clientId").is_none());
    }
}
