//! A health check: the whole number `depth` in a JSON document, compared with a limit.

#![forbid(unsafe_code)]

use kennel_plugin::prelude::*;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    url: String,
    limit: i64,
}

struct Depth {
    config: Config,
}

/// What is remembered from one check to the next.
#[derive(Default, Serialize, Deserialize)]
struct Last {
    depth: Option<i64>,
}

impl State for Last {}

/// What the service answers. It may say more.
#[derive(Deserialize)]
struct Stats {
    depth: i64,
}

impl HealthCheck for Depth {
    type Config = Config;
    type State = Last;

    fn new(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        let has_scheme = config.url.starts_with("http://") || config.url.starts_with("https://");
        problems.require(has_scheme, "url", "must be an address that starts with http:// or https://");
        problems.into_result().map(|()| Depth { config })
    }

    // A probe error that is passed on by `?` becomes what it says of the service: no connection
    // is unhealthy, no answer in time is late, and what says nothing of it is unknown.
    fn check(
        &self,
        _input: &CheckInput,
        last: &mut Last,
        host: &mut Host,
    ) -> Result<Verdict, CheckError> {
        let answer = host.http(Request::get(&self.config.url))?;
        if answer.status != 200 {
            return Ok(Verdict::unhealthy(format!("HTTP {}", answer.status)));
        }
        let Ok(Stats { depth }) = json::from_slice(&answer.body) else {
            return Ok(Verdict::unhealthy("no whole number \"depth\" in the answer"));
        };
        log!(Debug, "measured", depth);
        let verdict = self.judged(depth, last.depth);
        last.depth = Some(depth);
        Ok(verdict.sample("depth", depth as f64, ""))
    }
}

impl Depth {
    /// Over the limit is degraded; still there and not falling is unhealthy.
    fn judged(&self, depth: i64, last: Option<i64>) -> Verdict {
        let limit = self.config.limit;
        if depth <= limit {
            return Verdict::healthy(format!("depth {depth}, limit {limit}"));
        }
        let over = format!("depth {depth} is over the limit of {limit}");
        if last.is_some_and(|last| last > limit && depth >= last) {
            return Verdict::unhealthy(format!("{over} and does not fall"));
        }
        Verdict::degraded(over)
    }
}

kennel_plugin::export!(health_check: Depth);
