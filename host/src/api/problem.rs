//! Refusals: an HTTP status and `{"error","hint"}`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::wire;
use crate::handle::{ReloadError, VerbError};
use crate::upgrade::UpgradeError;

/// Why a request was refused.
#[derive(Debug)]
pub(crate) struct Problem {
    status: StatusCode,
    error: String,
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error: impl Into<String>) -> Problem {
        Problem { status, error: error.into(), hint: None }
    }

    /// The request says something that cannot be.
    pub(crate) fn bad_request(error: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, error)
    }

    /// Something that should work does not.
    pub(crate) fn internal(error: impl Into<String>) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, error)
    }

    /// There is no place for this request now.
    pub(crate) fn busy(error: impl Into<String>) -> Problem {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }

    /// The same with advice.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Problem {
        self.hint = Some(hint.into());
        self
    }

    pub(crate) fn unknown_service(name: &str, near: &[String]) -> Problem {
        let hint = match near {
            [] => "\"kennel status\" lists the services".to_owned(),
            [one] => format!("did you mean \"{one}\"?"),
            several => {
                let several: Vec<_> = several.iter().map(|name| format!("\"{name}\"")).collect();
                format!("did you mean one of {}?", several.join(", "))
            }
        };
        Problem::new(StatusCode::NOT_FOUND, format!("no service is named {}", quoted(name)))
            .hint(hint)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Problem { status, error, hint } = self;
        let body = serde_json::to_string(&wire::Error { error, hint })
            .expect("two strings can always be written");
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    }
}

impl From<VerbError> for Problem {
    fn from(error: VerbError) -> Problem {
        match &error {
            VerbError::UnknownService { name, near } => Problem::unknown_service(name, near),
            VerbError::Replicas { replicas: 0 } => {
                Problem::bad_request(error.to_string()).hint("stop it instead")
            }
            VerbError::Replicas { .. } => Problem::bad_request(error.to_string()),
            VerbError::ShuttingDown | VerbError::Failed { .. } => {
                Problem::new(StatusCode::CONFLICT, error.to_string())
            }
            VerbError::Stopped => Problem::busy(error.to_string()),
        }
    }
}

impl From<UpgradeError> for Problem {
    fn from(error: UpgradeError) -> Problem {
        let text = error.to_string();
        match error {
            UpgradeError::NoProgram { .. } | UpgradeError::Refused { .. } => {
                Problem::new(StatusCode::BAD_REQUEST, text)
                    .hint("nothing has happened: the supervisor goes on as it was")
            }
            UpgradeError::Embedded | UpgradeError::Busy | UpgradeError::ShuttingDown => {
                Problem::new(StatusCode::CONFLICT, text)
            }
            UpgradeError::Unsettled(_) | UpgradeError::NotWritten(_) | UpgradeError::Stopped => {
                Problem::busy(text)
            }
        }
    }
}

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Problem {
        let text = error.to_string();
        match error {
            ReloadError::Invalid(_) => Problem::new(StatusCode::UNPROCESSABLE_ENTITY, text),
            ReloadError::NoFile | ReloadError::ShuttingDown => {
                Problem::new(StatusCode::CONFLICT, text)
            }
            ReloadError::Busy | ReloadError::Stopped => Problem::busy(text),
        }
    }
}

/// A client's value as it may stand in an answer: quoted, of bounded length, nothing in it
/// that a terminal would act on.
pub(crate) fn quoted(value: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = value.chars().take(SHOWN).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    format!("\"{}\"", shown.replace(|c: char| c.is_control(), "\u{fffd}"))
}

/// The names that look like `name`, best first, three at most.
pub(crate) fn near<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Vec<String> {
    // Comparing costs time in the product of the lengths, and no name is that long.
    const LONGEST: usize = 128;
    if name.len() > LONGEST {
        return Vec::new();
    }
    let known: std::collections::BTreeSet<&str> = known.collect();
    crate::suggest::near(name, known.into_iter(), 3)
}
