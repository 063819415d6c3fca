//! Limits on what a service uses: memory and processor time, from `/proc`.
//!
//! ```text
//!  use │      ┌──┐     ┌─────────────────┐
//!  max ┼ ─ ─ ─┤  ├─ ─ ─┤← ─ ─ lasting ─ ─┤→ wrong
//!      │──────┘  └─────┘
//! ```
//!
//! One look proves nothing: programs have peaks. So a look over the limit begins a window,
//! one that is not ends it, and only a window that has lasted is a failure. What is looked
//! at is a sum over all processes of the service; memory is what is resident, and a page
//! that several of them share counts once for each (the exact share, `smaps_rollup`, would
//! cost more than the rest of supervision together).

use std::fmt;
use std::time::{Duration, Instant};

use kennel_core::Human;

use super::outcome::{Failure, Outcome};
use crate::usage::Seen;

/// How much a service may use, and for how long more.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct UsageLimit {
    /// Of what, and how much.
    pub resource: Resource,
    /// More than that for so long is a failure.
    pub lasting: Duration,
}

/// What a service uses.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Resource {
    /// Resident memory of all its processes.
    Memory {
        /// In bytes.
        max_bytes: u64,
    },
    /// Processor time of all its processes, between two looks.
    Cpu {
        /// 1.0 is one processor.
        max_share: f64,
    },
}

/// Two looks nearer to each other than this are one: `/proc` counts processor time in
/// hundredths of a second.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// What is remembered from look to look.
#[derive(Default, Debug)]
pub(crate) struct Window {
    /// What it was begun for: another limit begins another window.
    limit: Option<UsageLimit>,
    over_since: Option<Instant>,
    /// The last look at the processor time, and that time.
    cpu: Option<(Instant, Duration)>,
    share: Option<f64>,
}

/// What a look said.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Looked {
    pub(crate) outcome: Outcome,
    /// When the window may be over: it pays to look then.
    pub(crate) next: Option<Duration>,
}

impl Window {
    /// Takes one look into account.
    pub(crate) fn look(&mut self, limit: &UsageLimit, seen: Seen) -> Looked {
        if self.limit != Some(*limit) {
            *self = Window { limit: Some(*limit), ..Window::default() };
        }
        let Some(usage) = seen.usage else {
            let reason = "cannot see in /proc what it uses".to_owned();
            return Looked { outcome: Outcome::Impossible { reason }, next: None };
        };
        match limit.resource {
            Resource::Memory { max_bytes } => {
                let used = Bytes(usage.memory_bytes);
                let said = format!("uses {used} of memory");
                let over = (used.0 > max_bytes).then_some(seen.at);
                self.judge(limit, seen.at, over, said, &Bytes(max_bytes))
            }
            Resource::Cpu { max_share } => {
                let since = self.measure(seen.at, usage.cpu);
                let Some(share) = self.share else {
                    let reason = "its CPU use is not known yet".to_owned();
                    return Looked { outcome: Outcome::Passed { reason }, next: None };
                };
                let said = format!("uses {} of CPU", Percent(share));
                // The share is that of the time since the look before.
                let over = (share > max_share).then_some(since);
                self.judge(limit, seen.at, over, said, &Percent(max_share))
            }
        }
    }

    /// Brings the share up to date, and says since when it is that.
    fn measure(&mut self, at: Instant, cpu: Duration) -> Instant {
        let Some((before, cpu_before)) = self.cpu else {
            self.cpu = Some((at, cpu));
            return at;
        };
        let between = at.saturating_duration_since(before);
        if between >= BETWEEN_LOOKS {
            // A process that nobody waited for takes its time with it.
            let used = cpu.saturating_sub(cpu_before);
            self.share = Some(used.as_secs_f64() / between.as_secs_f64());
            self.cpu = Some((at, cpu));
        }
        before
    }

    /// `over`: since when it uses too much, if this look was the first to see that.
    fn judge(
        &mut self,
        limit: &UsageLimit,
        now: Instant,
        over: Option<Instant>,
        said: String,
        max: &dyn fmt::Display,
    ) -> Looked {
        let Some(since) = over.map(|since| *self.over_since.get_or_insert(since)) else {
            self.over_since = None;
            return Looked { outcome: Outcome::Passed { reason: said }, next: None };
        };
        let lasted = now.saturating_duration_since(since);
        let lasting = limit.lasting;
        if lasted < lasting {
            let reason = format!("{said}, more than {max}; {} of that is allowed", Human(lasting));
            let next = Some(lasting - lasted);
            return Looked { outcome: Outcome::Passed { reason }, next };
        }
        let reason = if lasting.is_zero() {
            format!("{said}, more than {max}")
        } else {
            format!("{said}, more than {max} for {}", Human(lasted))
        };
        Looked { outcome: Outcome::Failed { how: Failure::Wrong, reason }, next: None }
    }
}

/// Bytes as people write them: `412.3 MiB`, `400 MiB`, `12 KiB`.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MIB: u64 = 1 << 20;
        if self.0 < MIB {
            return write!(f, "{} KiB", self.0 >> 10);
        }
        match (self.0 / MIB, self.0 % MIB * 10 / MIB) {
            (whole, 0) => write!(f, "{whole} MiB"),
            (whole, tenths) => write!(f, "{whole}.{tenths} MiB"),
        }
    }
}

/// A share of one processor.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.0}%", self.0 * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::proc::Usage;

    const S: Duration = Duration::from_secs(1);
    const MIB: u64 = 1 << 20;

    /// Looks at times in seconds: what each said, in one word, and when it wants the next.
    fn words(limit: UsageLimit, looks: &[(f64, Usage)]) -> Vec<(&'static str, Option<Duration>)> {
        let (mut window, start) = (Window::default(), Instant::now());
        let mut said = Vec::new();
        for (at, usage) in looks {
            let at = start + Duration::from_secs_f64(*at);
            let Looked { outcome, next } = window.look(&limit, Seen { at, usage: Some(*usage) });
            said.push((word(&outcome), next));
        }
        said
    }

    fn word(outcome: &Outcome) -> &'static str {
        match outcome {
            Outcome::Passed { .. } => "passed",
            Outcome::Failed { how: Failure::Wrong, .. } => "wrong",
            Outcome::Impossible { .. } => "impossible",
            other => panic!("{other:?}"),
        }
    }

    fn memory(mib: u64) -> Usage {
        Usage { memory_bytes: mib * MIB, ..Usage::default() }
    }

    fn cpu(seconds: f64) -> Usage {
        Usage { cpu: Duration::from_secs_f64(seconds), ..Usage::default() }
    }

    const LIMIT: UsageLimit =
        UsageLimit { resource: Resource::Memory { max_bytes: 400 * MIB }, lasting: S };

    #[test]
    fn memory_is_too_much_when_it_is_over_the_limit_all_the_time() {
        let looks = [(0.0, 401), (0.9, 500), (1.0, 401), (2.0, 900), (2.5, 400), (3.0, 401)];
        let said = words(LIMIT, &looks.map(|(at, mib)| (at, memory(mib))));
        let expected = [
            ("passed", Some(S)),
            ("passed", Some(S / 10)),
            ("wrong", None),
            ("wrong", None),
            ("passed", None),
            ("passed", Some(S)),
        ];
        assert_eq!(said, expected);
        let at_once = UsageLimit { lasting: Duration::ZERO, ..LIMIT };
        let said = words(at_once, &[(0.0, memory(400)), (0.0, memory(401))]);
        assert_eq!(said, [("passed", None), ("wrong", None)]);
    }

    #[test]
    fn processor_time_is_measured_between_two_looks() {
        let limit = UsageLimit { resource: Resource::Cpu { max_share: 1.5 }, lasting: 2 * S };
        // 0 %, 200 %, 200 %, the same look again, 100 %, 160 % and 160 %.
        let looks = [
            (0.0, 9.0),
            (1.0, 9.0),
            (2.0, 11.0),
            (3.0, 13.0),
            (3.01, 13.0),
            (4.0, 14.0),
            (6.5, 18.0),
        ];
        let said = words(limit, &looks.map(|(at, seconds)| (at, cpu(seconds))));
        let words: Vec<&str> = said.iter().map(|(word, _)| *word).collect();
        assert_eq!(words, ["passed", "passed", "passed", "wrong", "wrong", "passed", "wrong"]);
        assert_eq!(said[2].1, Some(S), "half of the window is over");
    }

    #[test]
    fn reasons_say_how_much_and_how_long() {
        let (mut window, start) = (Window::default(), Instant::now());
        let mut look = |limit: &UsageLimit, seconds: u32, usage| {
            let seen = Seen { at: start + seconds * S, usage };
            window.look(limit, seen).outcome.reason().to_owned()
        };
        let used = Usage { memory_bytes: 412 * MIB + MIB / 2, cpu: 8 * S, ..Usage::default() };
        assert_eq!(look(&LIMIT, 0, Some(memory(1))), "uses 1 MiB of memory");
        assert_eq!(
            look(&LIMIT, 1, Some(used)),
            "uses 412.5 MiB of memory, more than 400 MiB; 1 s of that is allowed"
        );
        assert_eq!(
            look(&LIMIT, 3, Some(used)),
            "uses 412.5 MiB of memory, more than 400 MiB for 2 s"
        );
        let less = UsageLimit { resource: Resource::Memory { max_bytes: 9 << 10 }, ..LIMIT };
        let begins_anew = look(&less, 3, Some(used));
        assert!(begins_anew.ends_with("more than 9 KiB; 1 s of that is allowed"), "{begins_anew}");
        assert_eq!(look(&less, 4, None), "cannot see in /proc what it uses");
        let limit = UsageLimit { resource: Resource::Cpu { max_share: 1.0 }, ..LIMIT };
        assert_eq!(look(&limit, 5, Some(cpu(0.0))), "its CPU use is not known yet");
        assert_eq!(look(&limit, 9, Some(used)), "uses 200% of CPU, more than 100% for 4 s");
    }
}
