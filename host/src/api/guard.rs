//! What no request may have, whatever it asks for.

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::problem::Problem;

/// No request needs a body; one that brings a larger one is a mistake.
const BODY_MAX_BYTES: u64 = 64 * 1024;

/// Refuses requests of web pages and of oversized bodies.
pub(crate) async fn guard(request: Request, next: Next) -> Response {
    let headers = request.headers();
    // Only browsers send it, and on behalf of a page: no page drives this supervisor.
    if headers.contains_key(header::ORIGIN) {
        return Problem::new(StatusCode::FORBIDDEN, "requests of web pages are refused")
            .hint("leave out the header \"Origin\"")
            .into_response();
    }
    let length = headers.get(header::CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > BODY_MAX_BYTES) {
        let error = format!("a body may have {BODY_MAX_BYTES} bytes at most");
        return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error)
            .hint("parameters stand in the query; no body is needed")
            .into_response();
    }
    next.run(request).await
}
