//! Stock plugin `http`: an HTTP request whose answer is as expected.
//!
//! ```text
//! config ─► Request ─► host ─► Response ─► findings ─► the worst one is the verdict
//! ```

#![forbid(unsafe_code)]

mod answer;
mod body;
mod certificate;
mod config;
mod path;
mod status;

use kennel_plugin::prelude::*;

use answer::{Finding, worst};
use body::BodyRule;
use certificate::Certificate;
use config::Config;
use status::StatusSet;

/// The check.
pub struct Http {
    request: Request,
    /// The request as messages say it: what follows `?` is left out.
    title: String,
    slow: Option<Duration>,
    status: StatusSet,
    headers: Vec<(String, String)>,
    body: Vec<BodyRule>,
    certificate: Certificate,
}

impl HealthCheck for Http {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<Self, Problems> {
        config.check()
    }

    fn check(
        &self,
        input: &CheckInput,
        _: &mut (),
        host: &mut Host,
    ) -> Result<Verdict, CheckError> {
        let answer = host.http(self.request.clone())?;
        let mut findings = Vec::new();
        let mut samples = vec![("latency", answer.latency.as_secs_f64() * 1000.0, "ms")];
        self.look_at_status(&answer, &mut findings);
        self.look_at_headers(&answer, &mut findings);
        if findings.is_empty() {
            body::look(&self.body, &answer, &mut findings, &mut samples);
        }
        self.certificate.look(&answer, input.now_unix_ms, &mut findings, &mut samples);
        if self.slow.is_some_and(|slow| answer.latency >= slow) {
            findings.push(Finding::degraded(format!("it took {}", millis(answer.latency))));
        }
        let mut verdict = match worst(&findings) {
            Some((status, reason)) => Verdict::new(status, format!("{}: {reason}", self.title)),
            None => {
                let (status, time) = (status::named(answer.status), millis(answer.latency));
                Verdict::healthy(format!("{}: {status} after {time}", self.title))
            }
        };
        for (name, value, unit) in samples {
            verdict = verdict.sample(name, value, unit);
        }
        Ok(verdict)
    }
}

impl Http {
    fn look_at_status(&self, answer: &Response, findings: &mut Vec<Finding>) {
        if !self.status.contains(answer.status) {
            let (found, wanted) = (status::named(answer.status), &self.status);
            findings.push(Finding::unhealthy(format!("{found}, expected {wanted}")));
        }
    }

    fn look_at_headers(&self, answer: &Response, findings: &mut Vec<Finding>) {
        for (name, wanted) in &self.headers {
            let named = answer.headers.iter().filter(|(key, _)| key.eq_ignore_ascii_case(name));
            let mut values = named.map(|(_, value)| value).peekable();
            let Some(first) = values.peek().copied() else {
                findings.push(Finding::unhealthy(format!("there is no header {name}")));
                continue;
            };
            let wanted_lower = wanted.to_ascii_lowercase();
            if !values.any(|value| value.to_ascii_lowercase().contains(&wanted_lower)) {
                let found = answer::quoted(first);
                let reason = format!("header {name} is {found}, without \"{wanted}\"");
                findings.push(Finding::unhealthy(reason));
            }
        }
    }
}

/// `12 ms`
fn millis(time: Duration) -> String {
    format!("{} ms", time.as_millis())
}

kennel_plugin::export!(health_check: Http);
