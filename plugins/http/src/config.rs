//! What stands under `config:`.

use kennel_plugin::json::Value;
use kennel_plugin::prelude::*;
use kennel_plugin::{OneOrMany, Text, Url};
use regex_lite::Regex;

use crate::Http;
use crate::body::{BodyRule, JsonRule, Wanted};
use crate::certificate::Certificate;
use crate::path::Path;
use crate::status::StatusSet;

/// So much of a body is looked at where nothing else is said.
const BODY_BYTES: u64 = 64 << 10;

/// The host keeps no more of an answer.
const BODY_BYTES_MAX: u64 = 1 << 20;

/// The host follows no more.
const REDIRECTS_MAX: u32 = 10;

/// The configuration as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    url: String,
    #[serde(default)]
    method: Option<String>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, Text>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    timeout: Option<Period>,
    #[serde(default)]
    slow: Option<Period>,
    #[serde(default)]
    redirects: u32,
    #[serde(default)]
    max_body: Option<Size>,
    #[serde(default)]
    tls: Tls,
    #[serde(default)]
    expect: Expect,
    #[serde(default)]
    certificate: CertificateConfig,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Tls {
    #[serde(default)]
    ca_file: Option<String>,
    #[serde(default)]
    server_name: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct CertificateConfig {
    #[serde(default)]
    degraded_below: Option<Period>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Expect {
    #[serde(default)]
    status: Option<OneOrMany<Text>>,
    #[serde(default)]
    headers: std::collections::BTreeMap<String, Text>,
    #[serde(default)]
    contains: OneOrMany<String>,
    #[serde(default)]
    lacks: OneOrMany<String>,
    #[serde(default)]
    matches: OneOrMany<String>,
    #[serde(default)]
    json: Vec<JsonConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonConfig {
    path: String,
    #[serde(default)]
    equals: Option<Value>,
    #[serde(default)]
    one_of: Option<Vec<Value>>,
    #[serde(default)]
    at_least: Option<f64>,
    #[serde(default)]
    at_most: Option<f64>,
    #[serde(default)]
    exists: Option<bool>,
    #[serde(default)]
    otherwise: Otherwise,
    #[serde(default)]
    sample: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "lowercase")]
enum Otherwise {
    #[default]
    Unhealthy,
    Degraded,
}

impl Config {
    /// The check that is meant.
    pub(crate) fn check(self) -> Result<Http, Problems> {
        let mut problems = Problems::new();
        let url = problems.take("url", Url::parse(&self.url));
        let method = self.method.unwrap_or_else(|| "GET".to_owned());
        let plain = |c: char| c.is_ascii_uppercase() || c == '-';
        problems.require(
            !method.is_empty() && method.chars().all(plain),
            "method",
            format!("{method:?} is no method: they are in capitals, such as GET"),
        );
        problems.require(
            self.redirects <= REDIRECTS_MAX,
            "redirects",
            format!("no more than {REDIRECTS_MAX} are followed"),
        );
        let ca_file = self.tls.ca_file.as_deref();
        problems.require(
            ca_file.is_none_or(|path| path.starts_with('/')),
            "tls.ca_file",
            "has to be an absolute path",
        );
        header_names("headers", self.headers.keys(), &mut problems);
        header_names("expect.headers", self.expect.headers.keys(), &mut problems);
        let status = match &self.expect.status {
            Some(texts) => StatusSet::read(texts, &mut problems),
            None => StatusSet::usual(),
        };
        let body = self.expect.body(&mut problems);
        problems.require(
            method != "HEAD" || body.is_empty(),
            "method",
            "an answer to HEAD has no body that could be looked at",
        );
        let max_body = self.max_body.map_or(BODY_BYTES, |size| *size);
        problems.require(max_body <= BODY_BYTES_MAX, "max_body", "no more than 1MiB is kept");
        problems.require(
            self.certificate.degraded_below.is_none() || self.url.starts_with("https://"),
            "certificate.degraded_below",
            "there is no certificate without https://",
        );
        problems.into_result()?;

        let mut request = Request::new(&method, self.url.as_str());
        request.body = self.body.unwrap_or_default().into_bytes();
        request.timeout = self.timeout.map(Duration::from);
        // What nobody looks at is not read: some answers have no end.
        request.max_body = Some(if body.is_empty() { 0 } else { max_body as u32 });
        request.headers = self.headers.into_iter().map(|(name, text)| (name, text.0)).collect();
        let redirects = (self.redirects > 0).then(|| self.redirects.to_string());
        for (key, value) in [
            ("http.redirects", redirects),
            ("tls.ca-file", self.tls.ca_file),
            ("tls.server-name", self.tls.server_name),
        ] {
            request.ext.extend(value.map(|value| (key.to_owned(), value)));
        }
        let shown = self.url.split(['?', '#']).next().unwrap_or_default();
        debug_assert!(url.is_some(), "it is among the problems otherwise");
        Ok(Http {
            title: format!("{method} {shown}"),
            request,
            slow: self.slow.map(Duration::from),
            status,
            headers: self.expect.headers.into_iter().map(|(name, text)| (name, text.0)).collect(),
            body,
            certificate: Certificate {
                degraded_below: self.certificate.degraded_below.map(Duration::from),
            },
        })
    }
}

/// RFC 9110: names are tokens.
fn header_names<'a>(path: &str, names: impl Iterator<Item = &'a String>, problems: &mut Problems) {
    for name in names {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        if name.is_empty() || !name.chars().all(token) {
            problems.add(format!("{path}.{name}"), "is no name of a header");
        }
    }
}

impl Expect {
    fn body(&self, problems: &mut Problems) -> Vec<BodyRule> {
        let mut rules: Vec<BodyRule> = Vec::new();
        rules.extend(self.contains.iter().cloned().map(BodyRule::Contains));
        rules.extend(self.lacks.iter().cloned().map(BodyRule::Lacks));
        for pattern in self.matches.iter() {
            rules.extend(
                problems.take("expect.matches", Regex::new(pattern)).map(BodyRule::Matches),
            );
        }
        for (index, json) in self.json.iter().enumerate() {
            rules.extend(json.rule(index, problems).map(BodyRule::Json));
        }
        rules
    }
}

impl JsonConfig {
    fn rule(&self, index: usize, problems: &mut Problems) -> Option<JsonRule> {
        let at = format!("expect.json[{index}]");
        let path = problems.take(&format!("{at}.path"), Path::parse(&self.path));
        let mut wanted = Vec::new();
        wanted.extend(self.equals.clone().map(|value| Wanted::OneOf(vec![value])));
        wanted.extend(self.one_of.clone().map(Wanted::OneOf));
        wanted.extend(self.at_least.map(Wanted::AtLeast));
        wanted.extend(self.at_most.map(Wanted::AtMost));
        wanted.extend(self.exists.map(Wanted::There));
        problems.require(
            !wanted.is_empty() || self.sample.is_some(),
            &at,
            "says nothing: it needs equals, one_of, at_least, at_most, exists or sample",
        );
        if let Some(name) = &self.sample {
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
            problems.require(
                !name.is_empty() && name.len() <= 64 && name.chars().all(plain),
                &format!("{at}.sample"),
                "is no name: letters, digits and _",
            );
        }
        Some(JsonRule {
            name: self.path.clone(),
            path: path?,
            wanted,
            otherwise: match self.otherwise {
                Otherwise::Unhealthy => Status::Unhealthy,
                Otherwise::Degraded => Status::Degraded,
            },
            sample: self.sample.clone(),
        })
    }
}
