//! A restart policy with a memory: each restart in a row waits longer, and after a quiet day all
//! is forgotten.
#![forbid(unsafe_code)]

use kennel_plugin::prelude::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    /// What the first restart waits, and each further one more.
    step: Period,
    /// So many in a row are too many.
    most: u32,
}

/// What is remembered. The first version only knew `restarts`, and called it `count`.
#[derive(Serialize, Deserialize, Default)]
struct Memory {
    restarts: u32,
    last_unix_ms: u64,
}

impl State for Memory {
    const VERSION: u32 = 2;

    fn migrate(version: u32, saved: &[u8]) -> Option<Memory> {
        let old = json::from_slice::<json::Value>(saved).ok().filter(|_| version == 1)?;
        let restarts = old["count"].as_u64()?.try_into().ok()?;
        Some(Memory { restarts, last_unix_ms: 0 })
    }
}

struct Patience {
    config: Config,
}

impl RestartPolicy for Patience {
    type Config = Config;
    type State = Memory;

    fn new(config: Config) -> Result<Patience, Problems> {
        let mut problems = Problems::new();
        problems.require(!config.step.is_zero(), "step", "is no time at all");
        problems.require(config.most > 0, "most", "has to be at least 1");
        problems.into_result()?;
        Ok(Patience { config })
    }

    fn decide(&self, input: &PolicyInput, memory: &mut Memory) -> Result<Decision, String> {
        if input.now_unix_ms.saturating_sub(memory.last_unix_ms) > DAY.as_millis() as u64 {
            memory.restarts = 0;
        }
        memory.restarts += 1;
        memory.last_unix_ms = input.now_unix_ms;
        let (count, most) = (memory.restarts, self.config.most);
        log!(Debug, "restart {count} of {most}", cause = input.cause.kind);
        if count > most {
            return Ok(Decision::give_up(format!("restarted {most} times in a row")));
        }
        let delay = *self.config.step * count;
        Ok(Decision::restart_after(delay, format!("restart {count} of {most}")))
    }
}

kennel_plugin::export!(restart_policy: Patience);

#[cfg(test)]
mod tests {
    use super::*;
    use kennel_plugin::Saved;
    use kennel_plugin::testing::{Deciding, problems};

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_policy_remembers_from_one_decision_to_the_next() {
        let mut run = Deciding::<Patience>::new(r#"{ "step": "10s", "most": 2 }"#);
        let exit = || Cause { kind: "exit".to_owned(), exit_code: Some(1), ..Cause::default() };
        assert_eq!(run.ends(exit(), seconds(5)).action, Action::RestartAfter(seconds(10)));
        assert_eq!(run.log()[0].fields, [("cause".to_owned(), "exit".to_owned())]);
        assert_eq!(run.ends(exit(), seconds(5)).action, Action::RestartAfter(seconds(20)));
        let gives_up = Action::GiveUp("restarted 2 times in a row".to_owned());
        assert_eq!(run.ends(exit(), seconds(5)).action, gives_up);
        let day = seconds(24 * 60 * 60 + 1);
        assert_eq!(run.ends(exit(), day).action, Action::RestartAfter(seconds(10)));
        assert_eq!(problems(Patience::new, r#"{ "step": "0s", "most": 0 }"#).len(), 2);
    }

    #[test]
    fn a_state_of_an_older_version_is_migrated_and_what_cannot_be_read_is_forgotten() {
        for (version, bytes, delay) in [
            (1, r#"{"count": 1}"#, 20),
            (2, r#"{"restarts": 2, "last_unix_ms": 1800000000000}"#, 30),
            (1, "{}", 10),
            (2, "\u{0}", 10),
            (3, r#"{"restarts": 2}"#, 10),
        ] {
            let mut run = Deciding::<Patience>::new(r#"{ "step": "10s", "most": 5 }"#);
            // So that the memory of version 1, which knows no time, is not a day old.
            run.input.now_unix_ms = if version == 1 { 1000 } else { run.input.now_unix_ms };
            run.saved = Some(Saved { version, bytes: bytes.into() });
            let action = run.decide().action;
            assert_eq!(action, Action::RestartAfter(seconds(delay)), "{version} {bytes}");
        }
    }
}
