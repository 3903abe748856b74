//! A page that shows the document. Everything that it loads comes from here.

use std::sync::{Arc, LazyLock};

use axum::{
    body::Body,
    extract::Path,
    http::{
        HeaderValue, StatusCode,
        header::{CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE},
    },
    response::{IntoResponse as _, Response},
};
use utoipa_swagger_ui::Config;

use super::PATHS;
use crate::error::ApiError;

/// Lets the page load from here alone, whatever its scripts would like.
const FROM_HERE_ALONE: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:",
);

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::from(PATHS[0]);
    Arc::new(config.validator_url("none").persist_authorization(true).deep_linking(true))
});

/// Returns the page.
pub(super) async fn index() -> Response {
    serve("index.html")
}

/// Returns a file of the page.
pub(super) async fn file(Path(file): Path<String>) -> Response {
    serve(&file)
}

fn serve(name: &str) -> Response {
    let file = match utoipa_swagger_ui::serve(name, CONFIG.clone()) {
        Ok(Some(file)) => file,
        Ok(None) => {
            let message = "the page has no such file";
            return ApiError::new(StatusCode::NOT_FOUND, "not_found", message).into_response();
        }
        Err(error) => {
            tracing::error!(%error, name, "a file of the page cannot be made");
            return ApiError::internal().into_response();
        }
    };
    // The page has no slash at its end, so its files would be looked for beside it.
    let bytes = if name == "index.html" {
        let text = String::from_utf8_lossy(&file.bytes);
        text.replacen("<head>", "<head><base href=\"/docs/\">", 1).into_bytes()
    } else {
        file.bytes.into_owned()
    };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, FROM_HERE_ALONE);
    if let Ok(content_type) = HeaderValue::from_str(&file.content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;

    async fn text(response: Response) -> String {
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], FROM_HERE_ALONE);
        assert_eq!(response.headers().get(CONTENT_ENCODING), None);
        let bytes = to_bytes(response.into_body(), usize::MAX).await.expect("a body");
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    #[tokio::test]
    async fn page_and_its_files_come_from_here_alone() {
        let page = text(index().await).await;
        assert!(page.contains("<base href=\"/docs/\">"), "{page}");
        assert!(!page.contains("//"), "an address outside: {page}");
        let mut loaded = 0;
        for part in page.split(['"', '\'']).filter_map(|part| part.strip_prefix("./")) {
            let response = serve(part);
            assert_eq!(response.status(), StatusCode::OK, "{part}");
            loaded += 1;
        }
        assert!(loaded >= 3, "{page}");
        let start = text(serve("swagger-initializer.js")).await;
        assert!(start.contains("\"/openapi.json\"") && !start.contains("http"), "{start}");
        assert!(start.contains("\"validatorUrl\": \"none\""), "{start}");
    }

    #[tokio::test]
    async fn page_has_no_other_files() {
        for name in ["nothing.js", "../index.html", "openapi.json"] {
            assert_eq!(serve(name).status(), StatusCode::NOT_FOUND, "{name}");
        }
    }
}
