//! The query of a request: `?service=web&lines=10`.
//!
//! Every route names the parameters it takes; another one is an error, so that a slip in
//! a script does not silently mean something else.

use std::time::Duration;

use axum::extract::Query;
use axum::http::Uri;
use axum::response::IntoResponse as _;
use jiff::Timestamp;
use kennel_core::Signal;

use super::problem::{Problem, quoted};
use super::routes::Param;

/// The query of one request, checked against what its route takes.
#[derive(Debug)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// # Errors
    /// A parameter that is not among `known`.
    pub(crate) fn check(pairs: Vec<(String, String)>, known: &[Param]) -> Result<Params, Problem> {
        let is_known = |name: &str| known.iter().any(|param| param.name == name);
        match pairs.iter().find(|(name, _)| !is_known(name)) {
            None => Ok(Params(pairs)),
            Some((name, _)) => {
                let problem =
                    Problem::bad_request(format!("unknown query parameter {}", quoted(name)));
                Err(match known {
                    [] => problem.hint("none is known here"),
                    known => {
                        let names: Vec<_> = known.iter().map(|param| param.name).collect();
                        problem.hint(format!("known here: {}", names.join(", ")))
                    }
                })
            }
        }
    }

    /// All values of a parameter that may be given several times.
    pub(crate) fn all(&self, name: &str) -> Vec<String> {
        self.0.iter().filter(|(found, _)| found == name).map(|(_, value)| value.clone()).collect()
    }

    /// The value of a parameter; the last one when it is given twice.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// A truth value; `?follow` alone is yes.
    pub(crate) fn flag(&self, name: &str, default: bool) -> Result<bool, Problem> {
        match self.one(name) {
            None => Ok(default),
            Some("" | "true" | "1" | "yes") => Ok(true),
            Some("false" | "0" | "no") => Ok(false),
            Some(other) => Err(Problem::bad_request(format!(
                "{name} is {}, which is neither true nor false",
                quoted(other)
            ))),
        }
    }

    /// A whole number.
    pub(crate) fn number(&self, name: &str) -> Result<Option<u64>, Problem> {
        self.one(name).map_or(Ok(None), |value| match value.parse() {
            Ok(number) => Ok(Some(number)),
            Err(_) => Err(Problem::bad_request(format!(
                "{name} is {}, which is no whole number",
                quoted(value)
            ))),
        })
    }

    /// A duration.
    pub(crate) fn duration(&self, name: &str) -> Result<Option<Duration>, Problem> {
        self.one(name).map_or(Ok(None), |value| match parse_duration(value) {
            Some(duration) => Ok(Some(duration)),
            None => Err(Problem::bad_request(format!(
                "{name} is {}, which is no duration",
                quoted(value)
            ))
            .hint("write 250ms, 10s, 5m, 2h or 1d")),
        })
    }

    /// A time: RFC 3339, or how long ago.
    pub(crate) fn time(&self, name: &str) -> Result<Option<Timestamp>, Problem> {
        self.one(name).map_or(Ok(None), |value| match parse_time(value, Timestamp::now()) {
            Some(time) => Ok(Some(time)),
            None => {
                Err(Problem::bad_request(format!("{name} is {}, which is no time", quoted(value)))
                    .hint(format!("write how long ago, as in 10m, or {}", TIME_EXAMPLE)))
            }
        })
    }

    /// A signal by name or number.
    pub(crate) fn signal(&self, name: &str) -> Result<Signal, Problem> {
        let Some(value) = self.one(name) else {
            return Err(Problem::bad_request(format!("{name} is missing"))
                .hint(format!("add ?{name}=SIGUSR1")));
        };
        Signal::parse(value).ok_or_else(|| {
            let near = super::problem::near(&value.to_uppercase(), signal_names());
            let problem = Problem::bad_request(format!("no signal is named {}", quoted(value)));
            match near.first() {
                Some(name) => problem.hint(format!("did you mean {name}?")),
                None => problem.hint("write a name as in signal(7), or a number"),
            }
        })
    }
}

fn signal_names() -> impl Iterator<Item = &'static str> {
    Signal::names().flat_map(|name| [name, name.trim_start_matches("SIG")])
}

/// How an absolute time is written, for hints.
pub(crate) const TIME_EXAMPLE: &str = "2026-11-21T08:00:00Z";

/// No wait is longer: a year.
const MAX_DURATION: Duration = Duration::from_secs(366 * 86_400);

/// Reads a duration as services.yaml has them.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    crate::config::duration(text).ok().filter(|duration| *duration <= MAX_DURATION)
}

/// Reads an RFC 3339 time, or how long before `now`.
pub(crate) fn parse_time(text: &str, now: Timestamp) -> Option<Timestamp> {
    match parse_duration(text) {
        Some(ago) => now.checked_sub(ago).ok(),
        None => text.parse().ok(),
    }
}

/// Reads `text` as a query, and every parameter as all that one can be; whether it is a
/// query. For fuzzing.
pub(crate) fn try_query(text: &str) -> bool {
    let Ok(uri) = format!("/?{text}").parse::<Uri>() else { return false };
    let query = Query::<Vec<(String, String)>>::try_from_uri(&uri);
    let Ok(Query(pairs)) = query else { return false };
    let params = Params(pairs);
    for (name, _) in &params.0 {
        // What is wrong with one can be said.
        let problems = [
            params.flag(name, true).err(),
            params.number(name).err(),
            params.duration(name).err(),
            params.time(name).err(),
            params.signal(name).err(),
        ];
        problems.into_iter().flatten().for_each(|problem| drop(problem.into_response()));
        let _ = params.all(name);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::routes::ParamKind;
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        for (text, millis) in [
            ("250ms", Some(250)),
            ("10s", Some(10_000)),
            ("1h30m", Some(5_400_000)),
            ("2d", Some(172_800_000)),
            ("", None),
            ("10", None),
            ("s", None),
            ("10 s", None),
            ("-1s", None),
            ("1s2", None),
            ("99999999999999999999s", None),
            ("400d", None),
        ] {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn a_time_is_given_as_such_or_as_how_long_ago() {
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let read = |text| parse_time(text, now).map(|time| time.to_string());
        assert_eq!(read("10m").as_deref(), Some("2026-11-21T07:50:00Z"));
        assert_eq!(read("2026-11-20T00:00:00+01:00").as_deref(), Some("2026-11-19T23:00:00Z"));
        assert_eq!(read("yesterday"), None);
    }

    #[test]
    fn a_parameter_that_a_route_does_not_take_is_an_error() {
        let pairs = vec![("line".to_owned(), "1".to_owned())];
        let param = |name| Param { name, kind: ParamKind::Text, about: "" };
        let problem = Params::check(pairs, &[param("lines"), param("since")]).unwrap_err();
        assert!(format!("{problem:?}").contains("known here: lines, since"));
    }
}
