//! What was found in an answer.

use kennel_plugin::{Status, excerpt};

/// So much of an answer is shown.
const SHOWN_CHARS: usize = 80;

/// Something that is not as expected.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) status: Status,
    pub(crate) reason: String,
}

impl Finding {
    pub(crate) fn unhealthy(reason: String) -> Finding {
        Finding { status: Status::Unhealthy, reason }
    }

    pub(crate) fn degraded(reason: String) -> Finding {
        Finding { status: Status::Degraded, reason }
    }
}

/// The worst of what was found, all reasons of that kind in one line; none where all is well.
pub(crate) fn worst(findings: &[Finding]) -> Option<(Status, String)> {
    let unhealthy = findings.iter().any(|finding| finding.status == Status::Unhealthy);
    let status = if unhealthy { Status::Unhealthy } else { Status::Degraded };
    let reasons = findings.iter().filter(|finding| finding.status == status);
    let reasons: Vec<&str> = reasons.map(|finding| finding.reason.as_str()).collect();
    (!reasons.is_empty()).then(|| (status, reasons.join("; ")))
}

/// A text of the server's, in quotes and short.
pub(crate) fn quoted(text: &str) -> String {
    format!("\"{}\"", excerpt(text, SHOWN_CHARS, []))
}
