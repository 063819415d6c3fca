//! What handlers are given of a request: a path and a query that could be read. What
//! cannot is refused in the form of every other refusal.

use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;

use super::problem::Problem;

/// The query as it came, in order.
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

/// The name in a path: `web`, or `web` and `0` for `web/0`.
pub(crate) struct NameParts(pub(crate) Vec<String>);

impl NameParts {
    /// The name of a service or instance.
    pub(crate) fn name(&self) -> String {
        self.0.join("/")
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Pairs {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Pairs, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(pairs)) => Ok(Pairs(pairs)),
            Err(rejection) => Err(Problem::bad_request(format!(
                "the query cannot be read: {}",
                rejection.body_text()
            ))
            .hint("write ?name=value&name=value, percent-encoded")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for NameParts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<NameParts, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(NameParts(segments)),
            Err(rejection) => Err(Problem::bad_request(format!(
                "the name in the path cannot be read: {}",
                rejection.body_text()
            ))
            .hint("percent-encode it as UTF-8")),
        }
    }
}
