//! The layers around the routes. Socket.IO is mounted beside them.

use std::{any::Any, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{
        HeaderName, HeaderValue, Method, Response as HttpResponse, StatusCode, Uri,
        header::{ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_REQUEST_HEADERS, ORIGIN},
        uri::PathAndQuery,
    },
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use chat_kit::{
    caller,
    telemetry::{
        self,
        trace::{self, Kind, Origin},
    },
};
use tower::ServiceBuilder;
use tower_http::{
    catch_panic::CatchPanicLayer,
    cors::{AllowHeaders, AllowOrigin, CorsLayer},
};
use tracing::Instrument as _;

use crate::{
    config::Config,
    error::ApiError,
    http::{RequestId, not_found},
    limits, metrics, openapi, routes,
    state::AppState,
};

/// Header of the request's id, inwards and outwards.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Routes that are asked all day to see whether somebody is there: no traces of them are kept.
const PROBES: [&str; 4] = ["/", "/health", "/health/db", "/ping"];

/// Builds everything but Socket.IO.
pub fn router(state: AppState) -> Router {
    let config = state.config.clone();
    let layers = ServiceBuilder::new()
        .layer(middleware::from_fn_with_state(state.clone(), identify))
        .layer(CatchPanicLayer::custom(panicked))
        .map_response(preflight_has_no_content)
        .layer(cors(&config))
        .layer(middleware::from_fn_with_state(state.clone(), limit_time))
        .layer(middleware::from_fn_with_state(state.clone(), limit_url))
        .layer(middleware::from_fn_with_state(state.clone(), limits::limit));
    let routes = routes::all()
        .router()
        .merge(openapi::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(layers)
        .with_state(state);
    // Routing looks at the path, so the path is brought into one form before it.
    Router::new().fallback_service(ServiceBuilder::new().map_request(normalise).service(routes))
}

/// Lets pages of the configured origins call, with credentials.
pub fn cors(config: &Config) -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(config.http.origins.iter().cloned()))
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::HEAD,
            Method::PUT,
            Method::PATCH,
            Method::POST,
            Method::DELETE,
        ])
        .allow_headers(AllowHeaders::mirror_request())
        .vary([ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS])
}

/// Gives the answer to a preflight the status that clients know. Belongs around [`cors`], which alone
/// answers with the allowed methods.
pub fn preflight_has_no_content<B>(mut response: HttpResponse<B>) -> HttpResponse<B> {
    if response.headers().contains_key(ACCESS_CONTROL_ALLOW_METHODS) {
        *response.status_mut() = StatusCode::NO_CONTENT;
    }
    response
}

/// Says whether pages of an origin may call the gateway.
#[must_use]
pub fn is_allowed_origin(config: &Config, origin: &HeaderValue) -> bool {
    config.http.origins.contains(origin)
}

/// Lower-cases the path and cuts one slash off its end.
fn normalise<B>(mut request: axum::http::Request<B>) -> axum::http::Request<B> {
    let path = request.uri().path();
    let cut = path.strip_suffix('/').filter(|rest| !rest.is_empty());
    if cut.is_none() && !path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return request;
    }
    let path = cut.unwrap_or(path).to_ascii_lowercase();
    let path_and_query = match request.uri().query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    // What was a path stays one; a path that is none any more would be routed as it was.
    if let Ok(path_and_query) = PathAndQuery::try_from(path_and_query) {
        let mut parts = request.uri().clone().into_parts();
        parts.path_and_query = Some(path_and_query);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// Gives the request its id, in its extensions, on its log lines and in its answer, and its place in a
/// trace; measures it.
async fn identify(State(state): State<AppState>, mut request: Request, next: Next) -> Response {
    let begun = Instant::now();
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let id = match given {
        Some(id) if caller::is_request_id(id) => id.to_owned(),
        _ => caller::new_request_id(),
    };
    request.extensions_mut().insert(RequestId(id.clone()));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let method = request.method().clone();
    let origin = Origin::of_client(request.headers());
    let (verb, path) = (metrics::method_name(&method), route.unwrap_or("*"));
    let span = if PROBES.contains(&path) {
        telemetry::request_span(&id)
    } else {
        trace::begin(&id, Kind::Server, &state.part, format_args!("{verb} {path}"), &origin)
    };
    let answer = async {
        let response = next.run(request).await;
        trace::note("http.response.status_code", response.status().as_u16());
        if response.status().is_server_error() {
            trace::note_failure("the answer says so");
        }
        response
    };
    let mut response = answer.instrument(span).await;
    metrics::answered(route, &method, response.status(), begun);
    let id = HeaderValue::try_from(id).expect("a request id is letters, digits, `-`, `_` and `.`");
    response.headers_mut().insert(REQUEST_ID, id);
    response
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a handler panicked");
    ApiError::internal().into_response()
}

async fn limit_time(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(state.config.http.timeout, next.run(request)).await;
    answer.unwrap_or_else(|_| ApiError::timeout().into_response())
}

async fn limit_url(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let length = request.uri().path_and_query().map_or(0, |path| path.as_str().len());
    if length > state.config.http.url_limit {
        let message = format!("the URL exceeds {} bytes", state.config.http.url_limit);
        let error = ApiError::new(StatusCode::URI_TOO_LONG, "uri_too_long", message);
        return error.into_response();
    }
    next.run(request).await
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    #[tokio::test]
    async fn panic_is_an_internal_error_that_tells_nothing() {
        for panic in [Box::new("at 42") as Box<dyn Any + Send>, Box::new("at 42".to_owned())] {
            let response = panicked(panic);
            assert_eq!(response.status(), 500);
            let body = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            let text = std::str::from_utf8(&body).expect("text");
            assert!(text.contains("server_error") && !text.contains("42"), "{text}");
        }
    }
}
