//! What has to be in the body, and what may not be.

use kennel_plugin::json::{self, Value};
use kennel_plugin::{Response, Status};
use regex_lite::Regex;

use crate::answer::{Finding, quoted};
use crate::path::Path;

/// One rule.
pub(crate) enum BodyRule {
    Contains(String),
    Lacks(String),
    Matches(Regex),
    Json(JsonRule),
}

/// What holds of one value of a JSON body.
pub(crate) struct JsonRule {
    /// As it was written.
    pub(crate) name: String,
    pub(crate) path: Path,
    pub(crate) wanted: Vec<Wanted>,
    /// What the service is where it does not hold.
    pub(crate) otherwise: Status,
    /// The name under which the number is exported.
    pub(crate) sample: Option<String>,
}

/// What a value has to be.
pub(crate) enum Wanted {
    /// One of these.
    OneOf(Vec<Value>),
    AtLeast(f64),
    AtMost(f64),
    /// There, whatever it is; or not there.
    There(bool),
}

/// Applies all rules.
pub(crate) fn look<'a>(
    rules: &'a [BodyRule],
    answer: &Response,
    findings: &mut Vec<Finding>,
    samples: &mut Vec<(&'a str, f64, &'a str)>,
) {
    if rules.is_empty() {
        return;
    }
    let text = answer.text();
    let whole = answer.ext("http.truncated").is_none();
    // Each is said of as much as was kept.
    let part = if whole { "the body" } else { "the first part of the body" };
    let mut document = None;
    for rule in rules {
        match rule {
            BodyRule::Contains(wanted) if !text.contains(wanted.as_str()) => {
                let found = quoted(&text);
                let reason = format!("{part} does not contain \"{wanted}\": {found}");
                findings.push(Finding::unhealthy(reason));
            }
            BodyRule::Lacks(unwanted) if text.contains(unwanted.as_str()) => {
                findings.push(Finding::unhealthy(format!("the body contains \"{unwanted}\"")));
            }
            BodyRule::Matches(regex) if !regex.is_match(&text) => {
                let found = quoted(&text);
                let reason = format!("{part} does not match \"{}\": {found}", regex.as_str());
                findings.push(Finding::unhealthy(reason));
            }
            BodyRule::Contains(_) | BodyRule::Lacks(_) | BodyRule::Matches(_) => {}
            BodyRule::Json(rule) => {
                let document =
                    document.get_or_insert_with(|| match json::from_slice(&answer.body) {
                        Ok(document) => Some(document),
                        Err(_) if !whole => {
                            let reason =
                                "the body is longer than max_body, so its JSON is not whole";
                            findings.push(Finding::unhealthy(reason.to_owned()));
                            None
                        }
                        Err(error) => {
                            let reason =
                                format!("the body is not JSON: {error}: {}", quoted(&text));
                            findings.push(Finding::unhealthy(reason));
                            None
                        }
                    });
                if let Some(document) = document {
                    rule.look(document, findings, samples);
                }
            }
        }
    }
}

impl JsonRule {
    fn look<'a>(
        &'a self,
        document: &Value,
        findings: &mut Vec<Finding>,
        samples: &mut Vec<(&'a str, f64, &'a str)>,
    ) {
        let found = self.path.find(document);
        if let (Some(name), Some(number)) = (&self.sample, found.and_then(number)) {
            samples.push((name, number, ""));
        }
        let wrong = self.wanted.iter().find(|wanted| !wanted.holds(found));
        if let Some(wrong) = wrong {
            let found = match found {
                Some(value) => shown(value),
                None => "not there".to_owned(),
            };
            let reason = format!("{} is {found}, expected {}", self.name, wrong.words());
            findings.push(Finding { status: self.otherwise, reason });
        }
    }
}

/// Numbers, and truth values as 1 and 0.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(value) => Some(if *value { 1.0 } else { 0.0 }),
        Value::Null | Value::String(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

/// Whether they are the same; numbers are, however they are written.
fn equal(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a == b,
        (Some(_) | None, _) => a == b,
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a mapping".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

impl Wanted {
    fn holds(&self, found: Option<&Value>) -> bool {
        let number = || found.and_then(Value::as_f64);
        match self {
            Wanted::OneOf(values) => {
                found.is_some_and(|found| values.iter().any(|value| equal(value, found)))
            }
            Wanted::AtLeast(least) => number().is_some_and(|number| number >= *least),
            Wanted::AtMost(most) => number().is_some_and(|number| number <= *most),
            Wanted::There(there) => found.is_some() == *there,
        }
    }

    fn words(&self) -> String {
        match self {
            Wanted::OneOf(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                values.join(" or ")
            }
            Wanted::AtLeast(least) => format!("{least} or more"),
            Wanted::AtMost(most) => format!("{most} or less"),
            Wanted::There(true) => "any value".to_owned(),
            Wanted::There(false) => "none".to_owned(),
        }
    }
}
