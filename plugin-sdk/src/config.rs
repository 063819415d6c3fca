//! What stands under `config:`: typed, and every problem reported where it is.

use serde::de::DeserializeOwned;

use crate::json::{self, Fault, Input, Known, Value};

/// More problems than these are not looked for.
const PROBLEMS_MAX: usize = 32;

/// Something that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where: `expect.status[1]`; empty for the whole.
    pub path: String,
    /// What.
    pub message: String,
}

/// Everything that is wrong with a configuration.
///
/// ```
/// use kennel_plugin::Problems;
///
/// fn new(port: u32, host: &str) -> Result<(), Problems> {
///     let mut problems = Problems::new();
///     problems.require(port < 65536, "port", "there is no port above 65535");
///     problems.require(!host.is_empty(), "host", "is empty");
///     problems.into_result()
/// }
/// assert_eq!(new(70000, "").unwrap_err().len(), 2);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    found: Vec<Problem>,
}

impl Problems {
    /// None yet.
    pub fn new() -> Problems {
        Problems::default()
    }

    /// A single one.
    pub fn one(path: impl Into<String>, message: impl Into<String>) -> Problems {
        let mut problems = Problems::new();
        problems.add(path, message);
        problems
    }

    /// Adds one.
    pub fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        self.found.push(Problem { path: path.into(), message: message.into() });
    }

    /// Adds one unless `condition` holds.
    pub fn require(&mut self, condition: bool, path: &str, message: impl Into<String>) {
        if !condition {
            self.add(path, message);
        }
    }

    /// The value, or one problem more and none.
    pub fn take<T, E: ToString>(&mut self, path: &str, result: Result<T, E>) -> Option<T> {
        result.map_err(|error| self.add(path, error.to_string())).ok()
    }

    /// An error if there are any.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.found.is_empty() { Ok(()) } else { Err(self) }
    }

    /// Adds those that were found elsewhere.
    pub fn extend(&mut self, problems: Problems) {
        self.found.extend(problems.found);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.found.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// One after the other.
    pub fn iter(&self) -> std::slice::Iter<'_, Problem> {
        self.found.iter()
    }
}

impl IntoIterator for Problems {
    type Item = Problem;
    type IntoIter = std::vec::IntoIter<Problem>;

    fn into_iter(self) -> Self::IntoIter {
        self.found.into_iter()
    }
}

/// Reads a configuration; everything that is wrong with it is found at once.
pub(crate) fn read<C: DeserializeOwned>(json: &str) -> Result<C, Problems> {
    let mut value =
        json::parse(json.as_bytes()).map_err(|error| Problems::one("", error.to_string()))?;
    if value.is_null() {
        value = Value::Object(Vec::new());
    }
    let mut faults: Vec<Fault> = Vec::new();
    while faults.len() < PROBLEMS_MAX {
        match C::deserialize(Input::new(&value, Known::new(&faults))) {
            Ok(config) if faults.is_empty() => return Ok(config),
            Ok(_) => break,
            // What is wrong with a stand-in is not the user's fault.
            Err(fault) if Known::new(&faults).of(&fault.path).is_some() => break,
            Err(fault) => faults.push(fault),
        }
    }
    let mut problems = Problems::new();
    for fault in faults {
        problems.add(fault.path, fault.message);
    }
    Err(problems)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Period, Size};
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Config {
        address: String,
        port: u16,
        #[serde(default)]
        timeout: Period,
        #[serde(default)]
        keep: Size,
        #[serde(default)]
        expect: Vec<Expect>,
        mode: Option<Mode>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Expect {
        key: String,
        at_least: f64,
    }

    #[derive(Debug, Deserialize)]
    #[serde(rename_all = "lowercase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    enum Mode {
        Fast,
        Slow { factor: u32 },
    }

    /// Configuration, what is wrong with it.
    fn check(config: &str, wrong: &[&str]) {
        let found: Vec<String> = match read::<Config>(config) {
            Ok(_) => Vec::new(),
            Err(problems) => {
                problems.iter().map(|p| format!("{}: {}", p.path, p.message)).collect()
            }
        };
        assert_eq!(found, wrong, "{config}");
    }

    #[test]
    fn every_problem_is_found_at_once_and_where_it_is() {
        check(r#"{"address": "a", "port": 1, "timeout": "5s", "keep": "1MiB"}"#, &[]);
        check(
            r#"{"adress": "a", "port": "x", "timeout": "5x", "keep": -1, "colour": 1}"#,
            &[
                "adress: unknown key \"adress\"; did you mean \"address\"?",
                "port: expected a whole number up to 65535, found \"x\"",
                "timeout: expected a time such as 250ms, 10s or 5m, found \"5x\"",
                "keep: expected a size such as 64KiB or 10MiB, found -1",
                "colour: unknown key \"colour\"; the keys are \"address\", \"port\", \
                 \"timeout\", \"keep\", \"expect\", \"mode\"",
                "address: \"address\" is required",
            ],
        );
        check(
            r#"{"address": null, "port": 70000, "expect": [
                {"key": "a", "at_least": 1.5}, {"kye": 1, "at_least": "b"}, 7]}"#,
            &[
                "address: expected a text, found nothing",
                "port: expected a whole number up to 65535, found 70000",
                "expect[1].kye: unknown key \"kye\"; did you mean \"key\"?",
                "expect[1].at_least: expected a number, found \"b\"",
                "expect[1].key: \"key\" is required",
                "expect[2]: expected a mapping, found 7",
            ],
        );
        check(
            r#"{"address": "a", "port": 1.5, "mode": {"slow": {"factor": true}}}"#,
            &[
                "port: expected a whole number up to 65535, found 1.5",
                "mode.slow.factor: expected a whole number from 0, found true",
            ],
        );
        check(
            r#"{"address": "a", "port": 1, "mode": "quick"}"#,
            &["mode: expected one of \"fast\", \"slow\", found \"quick\""],
        );
        check(r#"{"address": "a", "port": 1, "mode": "fast"}"#, &[]);
        check("null", &["address: \"address\" is required", "port: \"port\" is required"]);
        check("[1]", &[": expected a mapping, found a list"]);
        check("{", &[": not JSON: it ends where a key is expected"]);
    }
}
