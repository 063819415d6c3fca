//! Stock plugin `grpc`. The standard health service of a gRPC server says SERVING.
//!
//! ```text
//!  config ──► POST /grpc.health.v1.Health/Check over HTTP/2 ──► status: how the call ended
//!               └─ health: one field out, one field in            └─► verdict
//! ```
//!
//! A call that fails for who we are or what we ask for says nothing of the server: unknown.

#![forbid(unsafe_code)]

pub mod config;
pub mod health;
pub mod status;

use kennel_plugin::prelude::*;

use crate::config::{Config, NotServing};
use crate::health::{NotAnAnswer, Serving};
use crate::status::Ended;

/// More than an answer is.
const ANSWER_BYTES_MAX: u32 = 64 * 1024;

/// The check.
#[derive(Debug)]
pub struct Grpc {
    config: Config,
}

impl HealthCheck for Grpc {
    type Config = Config;
    type State = ();

    fn new(config: Config) -> Result<Grpc, Problems> {
        config.check()?;
        Ok(Grpc { config })
    }

    fn check(
        &self,
        input: &CheckInput,
        (): &mut (),
        host: &mut Host,
    ) -> Result<Verdict, CheckError> {
        let response = host.http(self.request(input.budget))?;
        let latency_ms = response.latency.as_secs_f64() * 1000.0;
        Ok(self.judge(&response)?.sample("latency", latency_ms, "ms"))
    }
}

impl Grpc {
    fn request(&self, budget: Duration) -> Request {
        let scheme = if self.config.tls { "https" } else { "http" };
        let url = format!("{scheme}://{}/grpc.health.v1.Health/Check", self.config.address);
        let mut request = Request::post(url, health::request(&self.config.service))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .option("http.version", "2")
            .max_body(ANSWER_BYTES_MAX);
        // At most eight digits.
        let budget_ms = budget.as_millis().min(99_999_999);
        if budget_ms > 0 {
            request = request.header("grpc-timeout", format!("{budget_ms}m"));
        }
        for (name, value) in &self.config.metadata {
            request = request.header(name, value);
        }
        for (key, value) in [
            ("tls.server-name", &self.config.tls_server_name),
            ("tls.ca-file", &self.config.ca_file),
        ] {
            if let Some(value) = value {
                request = request.option(key, value);
            }
        }
        request
    }

    fn judge(&self, response: &Response) -> Result<Verdict, CheckError> {
        let Some(ended) = Ended::of(response) else {
            return judge_http(response.status);
        };
        if ended.code != 0 {
            return judge_end(&self.config.service, &ended);
        }
        let whose = match self.config.service.as_str() {
            "" => String::new(),
            service => format!(" of \"{service}\""),
        };
        Ok(match health::read_response(&response.body) {
            Ok(Serving::Serving) => Verdict::healthy(format!("says SERVING{whose}")),
            Ok(Serving::NotServing) => {
                let reason = format!("says NOT_SERVING{whose}");
                match self.config.on_not_serving {
                    NotServing::Unhealthy => Verdict::unhealthy(reason),
                    NotServing::Degraded => Verdict::degraded(reason).not_ready(),
                }
            }
            Ok(Serving::Unknown) => {
                Verdict::degraded(format!("says UNKNOWN{whose}: it has not decided yet"))
                    .not_ready()
            }
            Ok(Serving::ServiceUnknown) => return Err(no_such_service(&self.config.service)),
            Ok(Serving::Other(number)) => {
                Verdict::unhealthy(format!("says {number}{whose}, which is no known status"))
            }
            Err(trouble) => Verdict::unhealthy(match trouble {
                NotAnAnswer::Cut => "its answer is cut off",
                NotAnAnswer::Compressed => "its answer is compressed, which was not asked for",
                NotAnAnswer::Malformed => "its answer is no HealthCheckResponse",
            }),
        })
    }
}

/// An answer of something that is no gRPC server, or stands before one.
fn judge_http(status: u16) -> Result<Verdict, CheckError> {
    match status {
        401 | 403 => Err(CheckError::not_made(format!(
            "may not be asked: HTTP status {status}; see \"metadata\""
        ))),
        429 | 502..=504 => Ok(Verdict::unhealthy(format!("is not reached: HTTP status {status}"))),
        _ => Ok(Verdict::unhealthy(format!("is no gRPC server: HTTP status {status}"))),
    }
}

/// A call that failed.
fn judge_end(service: &str, ended: &Ended) -> Result<Verdict, CheckError> {
    let name = ended.name();
    let said = match ended.message.as_str() {
        "" => name.to_owned(),
        message => format!("{name}, {message}"),
    };
    match name {
        "NOT_FOUND" => Err(no_such_service(service)),
        "UNIMPLEMENTED" => Err(CheckError::not_made(format!(
            "the server has no health service (grpc.health.v1.Health): {said}"
        ))),
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => {
            Err(CheckError::not_made(format!("may not be asked, see \"metadata\": {said}")))
        }
        "DEADLINE_EXCEEDED" | "CANCELLED" => Ok(Verdict::late(format!("gives up: {said}"))),
        "RESOURCE_EXHAUSTED" => {
            Ok(Verdict::degraded(format!("has too much to do: {said}")).not_ready())
        }
        _ => Ok(Verdict::unhealthy(format!("the call failed: {said}"))),
    }
}

fn no_such_service(service: &str) -> CheckError {
    CheckError::not_made(match service {
        "" => "the server does not say how it is as a whole, set \"service\"".to_owned(),
        service => format!("the server knows no service \"{service}\""),
    })
}

kennel_plugin::export!(health_check: Grpc);
