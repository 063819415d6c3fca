//! A restart policy: some failures will not go away, and short runs need longer pauses.

#![forbid(unsafe_code)]

use kennel_plugin::prelude::*;

/// A run that ended sooner did no work.
const SHORT_RUN: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    hopeless: i32,
    pause_ms: u32,
}

struct Policy {
    config: Config,
}

/// What is remembered from one decision to the next.
#[derive(Default, Serialize, Deserialize)]
struct Seen {
    short_runs: u32,
}

impl State for Seen {}

impl RestartPolicy for Policy {
    type Config = Config;
    type State = Seen;

    fn new(config: Config) -> Result<Self, Problems> {
        let mut problems = Problems::new();
        problems.require(config.hopeless >= 0, "hopeless", "must be a whole number");
        problems.into_result().map(|()| Policy { config })
    }

    fn decide(&self, input: &PolicyInput, seen: &mut Seen) -> Result<Decision, String> {
        let Config { hopeless, pause_ms } = self.config;
        if input.cause.exit_code == Some(hopeless) {
            return Ok(Decision::give_up(format!("exit code {hopeless} will not go away")));
        }
        if input.target.uptime >= SHORT_RUN {
            seen.short_runs = 0;
            return Ok(Decision::use_default("it ran for a while"));
        }
        seen.short_runs = seen.short_runs.saturating_add(1);
        let pause = Duration::from_millis(pause_ms.into()).saturating_mul(seen.short_runs);
        Ok(Decision::restart_after(pause, format!("short runs in a row: {}", seen.short_runs)))
    }
}

kennel_plugin::export!(restart_policy: Policy);
