//! What a service did while it did not answer.
//!
//! ```text
//!  question ──── a quarter ────────── timeout ─► late ─► "(in the last 18 s its processes
//!                    │                  │                 used 17.8 s of CPU, wrote 214
//!                first look         second look           lines and sent 6 notifications)"
//! ```
//!
//! Slow is not dead: before a service is restarted because its answers come too late, who
//! reads of it should know whether it was at work or stuck. The first look stands for the
//! whole streak of late answers. It is made when a quarter of the timeout has passed, so
//! that checks that are answered in time cost nothing, and in the task of the check, so
//! that the loop waits for none of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kennel_core::{CheckOutcome, Human};

use crate::logs::{Capture, LogCounters};
use crate::os::proc::Usage;
use crate::usage::Meter;

/// How old a look at `/proc` may be: many that are late at once share one.
const AGE: Duration = Duration::from_millis(100);

/// How long a look may hold up the answer; the core waits for that longer.
const PATIENCE: Duration = Duration::from_millis(500);

/// What came of a check.
pub(super) struct Answer {
    pub(super) outcome: CheckOutcome,
    pub(super) reason: String,
    pub(super) next: Option<Duration>,
}

/// Watches what the processes of one run do.
pub(super) struct Watch {
    pub(super) meter: Meter,
    pub(super) capture: Capture,
    pub(super) instance: Arc<str>,
    /// The sessions of the run.
    pub(super) sessions: Vec<i32>,
    /// Whether its output goes through us.
    pub(super) output: Output,
    /// How many messages of `sd_notify(3)` it has sent so far.
    pub(super) messages: Arc<AtomicU64>,
}

/// Whether the output of a service is seen.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Seen,
    Unseen,
}

/// What was done by some moment.
#[derive(Clone, Copy, Debug)]
struct Done {
    at: Instant,
    usage: Option<Usage>,
    written: Option<LogCounters>,
    messages: u64,
}

/// What had been done when a streak of late answers began. Clones are the same.
#[derive(Clone, Default, Debug)]
pub(super) struct Streak(Arc<Mutex<Option<Done>>>);

impl Streak {
    fn begun(&self) -> Option<Done> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, begun: Option<Done>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = begun;
    }
}

impl Watch {
    /// Waits for an answer. When it is late, its reason tells what was done since the
    /// streak began.
    pub(super) async fn over(
        &self,
        check: impl Future<Output = Answer>,
        timeout: Duration,
        streak: &Streak,
    ) -> Answer {
        let mut check = std::pin::pin!(check);
        let mut first = streak.begun();
        let mut answer = tokio::select! {
            biased;
            answer = &mut check => answer,
            () = tokio::time::sleep(timeout / 4), if first.is_none() => {
                let (looked, answer) = tokio::join!(self.look(), &mut check);
                first = looked;
                answer
            }
        };
        if answer.outcome != CheckOutcome::Late {
            streak.set(None);
            return answer;
        }
        if let (Some(first), Some(now)) = (first, self.look().await) {
            streak.set(Some(first));
            answer.reason = format!("{} ({})", answer.reason, sentence(&first, &now));
        }
        answer
    }

    async fn look(&self) -> Option<Done> {
        let seen =
            tokio::time::timeout(PATIENCE, self.meter.see(&self.sessions, AGE)).await.ok()?;
        let written = match self.output {
            Output::Seen => Some(self.capture.counters_of(&self.instance)),
            Output::Unseen => None,
        };
        let messages = self.messages.load(Ordering::Relaxed);
        Some(Done { at: seen.at, usage: seen.usage, written, messages })
    }
}

/// "in the last 18 s its processes used 17.8 s of CPU and wrote 214 lines"
fn sentence(first: &Done, now: &Done) -> String {
    let span = Human(now.at.saturating_duration_since(first.at));
    let cpu = match (first.usage, now.usage) {
        (Some(first), Some(now)) => {
            // A process that nobody waited for takes its time with it.
            Some(format!("used {:.1} s of CPU", now.cpu.saturating_sub(first.cpu).as_secs_f64()))
        }
        (None, _) | (_, None) => None,
    };
    let wrote = match (first.written, now.written) {
        (Some(first), Some(now)) => Some(wrote(&first, &now)),
        (None, _) | (_, None) => None,
    };
    // Who never sends any says nothing by that.
    let sent = (now.messages > 0).then(|| match now.messages.saturating_sub(first.messages) {
        0 => "sent no notification".to_owned(),
        1 => "sent 1 notification".to_owned(),
        count => format!("sent {count} notifications"),
    });
    let did: Vec<String> = [cpu, wrote, sent].into_iter().flatten().collect();
    let did = match did.as_slice() {
        [] => return format!("what its processes did in the last {span} could not be seen"),
        [one] => one.clone(),
        [others @ .., last] => format!("{} and {last}", others.join(", ")),
    };
    format!("in the last {span} its processes {did}")
}

fn wrote(first: &LogCounters, now: &LogCounters) -> String {
    let lines = |counters: &LogCounters| counters.lines.saturating_add(counters.dropped);
    match (lines(now).saturating_sub(lines(first)), now.bytes.saturating_sub(first.bytes)) {
        (0, 0) => "wrote nothing".to_owned(),
        (0, bytes) => format!("wrote {bytes} bytes"),
        (1, _) => "wrote 1 line".to_owned(),
        (lines, _) => format!("wrote {lines} lines"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sentence_tells_what_was_seen_and_nothing_else() {
        let at = Instant::now();
        let done = |seconds: u64, cpu_ms: Option<u64>, written: Option<(u64, u64, u64)>| Done {
            at: at + Duration::from_secs(seconds),
            usage: cpu_ms.map(|ms| Usage { cpu: Duration::from_millis(ms), ..Usage::default() }),
            written: written.map(|(lines, bytes, dropped)| LogCounters {
                lines,
                bytes,
                dropped,
                rotations: 0,
            }),
            messages: 0,
        };
        let told = |messages, done: Done| Done { messages, ..done };
        let first = done(0, Some(1000), Some((10, 100, 0)));
        for (first, now, said) in [
            (
                first,
                done(18, Some(18_800), Some((10, 100, 0))),
                "in the last 18 s its processes used 17.8 s of CPU and wrote nothing",
            ),
            (
                first,
                done(2, Some(1000), Some((124, 900, 100))),
                "in the last 2 s its processes used 0.0 s of CPU and wrote 214 lines",
            ),
            (
                first,
                done(2, Some(900), Some((11, 101, 0))),
                "in the last 2 s its processes used 0.0 s of CPU and wrote 1 line",
            ),
            (
                first,
                done(2, None, Some((10, 112, 0))),
                "in the last 2 s its processes wrote 12 bytes",
            ),
            (first, done(2, Some(2500), None), "in the last 2 s its processes used 1.5 s of CPU"),
            (
                told(2, first),
                told(8, done(2, Some(1000), Some((10, 100, 0)))),
                "in the last 2 s its processes used 0.0 s of CPU, wrote nothing and sent 6 \
                 notifications",
            ),
            (
                told(2, first),
                told(2, done(2, Some(1000), None)),
                "in the last 2 s its processes used 0.0 s of CPU and sent no notification",
            ),
            (
                done(0, None, None),
                first,
                "what its processes did in the last 0 ms could not be seen",
            ),
        ] {
            assert_eq!(sentence(&first, &now), said);
        }
    }
}
