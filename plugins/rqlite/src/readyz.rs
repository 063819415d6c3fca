//! What a node says of itself at `/readyz`: a status code, and a line for each part that was
//! looked at, as far as it came.
//!
//! ```text
//!  200  [+]node ok, [+]leader ok, [+]store ok[, [+]sync ok]
//!  503  [+]node ok, [+]leader does not exist | [+]leader not contactable: …
//!       [+]node ok, [+]leader ok, [+]store not ready
//!       [+]node ok, [+]leader ok, [+]store ok, [+]sync …
//!  500  leader address: store not open                 it has only just started
//! ```

use kennel_plugin::prelude::*;

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// It takes requests.
    Ready,
    /// It lives, and says why it does not take any yet.
    NotYet(String),
    /// It does not let us ask.
    NotAllowed,
    /// It is too old to know the question.
    NotKnown,
    /// It is something else.
    Strange(String),
}

/// Reads an answer.
pub fn read(response: &Response) -> Readiness {
    let text = response.text();
    let failing = failing_part(&text);
    match response.status {
        200..=299 if failing.is_none() || !text.contains("[+]") => Readiness::Ready,
        200..=299 => Readiness::NotYet(failing.unwrap_or_default()),
        401 | 403 => Readiness::NotAllowed,
        404 | 405 => Readiness::NotKnown,
        503 => match failing {
            Some(part) => Readiness::NotYet(part),
            None => Readiness::Strange(first_line(&text, response.status)),
        },
        500 if text.contains("not open") => Readiness::NotYet("is still opening its store".into()),
        status => Readiness::Strange(first_line(&text, status)),
    }
}

/// The last part that was looked at, in words; none where all are well or nothing is said.
fn failing_part(text: &str) -> Option<String> {
    let last = text.lines().rev().find_map(|line| line.trim().strip_prefix("[+]"))?;
    if last.ends_with(" ok") {
        return None;
    }
    Some(match last {
        "leader does not exist" => "has no leader yet".to_owned(),
        "store not ready" => "its store is not ready yet".to_owned(),
        other => match (other.strip_prefix("leader "), other.strip_prefix("sync ")) {
            (Some(what), _) => format!("its leader is {what}"),
            (_, Some(what)) => format!("has not caught up with its leader: {what}"),
            (None, None) => format!("says \"{}\"", other.escape_debug()),
        },
    })
}

fn first_line(text: &str, status: u16) -> String {
    let line = text.lines().next().unwrap_or_default();
    let line: String = line.chars().take(80).collect();
    if line.is_empty() {
        return format!("answers with HTTP status {status}");
    }
    format!("answers with HTTP status {status}: {line}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_of_a_node_is_understood() {
        let not_yet = |text: &str| Readiness::NotYet(text.to_owned());
        let strange = |text: &str| Readiness::Strange(text.to_owned());
        for (status, body, readiness) in [
            (200, "[+]node ok\n[+]leader ok\n[+]store ok", Readiness::Ready),
            (200, "[+]node ok\n[+]leader ok\n[+]store ok\n[+]sync ok\n", Readiness::Ready),
            (200, "", Readiness::Ready),
            (503, "[+]node ok\n[+]leader does not exist", not_yet("has no leader yet")),
            (
                503,
                "[+]node ok\n[+]leader not contactable: dial tcp: refused",
                not_yet("its leader is not contactable: dial tcp: refused"),
            ),
            (
                503,
                "[+]node ok\n[+]leader ok\n[+]store not ready",
                not_yet("its store is not ready yet"),
            ),
            (
                503,
                "[+]node ok\n[+]leader ok\n[+]store ok\n[+]sync timeout",
                not_yet("has not caught up with its leader: timeout"),
            ),
            (500, "leader address: store not open\n", not_yet("is still opening its store")),
            (500, "panic", strange("answers with HTTP status 500: panic")),
            (503, "upstream is down", strange("answers with HTTP status 503: upstream is down")),
            (503, "", strange("answers with HTTP status 503")),
            (302, "", strange("answers with HTTP status 302")),
            (401, "", Readiness::NotAllowed),
            (404, "404 page not found", Readiness::NotKnown),
        ] {
            let response = Response { status, body: body.into(), ..Response::default() };
            assert_eq!(read(&response), readiness, "{status} {body}");
        }
    }
}
