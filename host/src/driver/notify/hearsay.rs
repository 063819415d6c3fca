//! What was heard of an instance and outlives the run that said it: why it failed, and how
//! much of what came did not count.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kennel_core::{Cause, RunId};

use super::ignored::Ignored;
use crate::os;

/// How long lies between two events about messages that did not count.
const IGNORED_EVERY: Duration = Duration::from_secs(60);

/// What was heard of an instance.
#[derive(Default, Debug)]
pub(in super::super) struct Hearsay {
    /// Of the present run.
    hints: Option<(RunId, Hints)>,
    /// What the last run had said of why it failed.
    last: Option<String>,
    ignored: u64,
    told: u64,
    told_at: Option<Instant>,
}

/// What a run says of why it is not ready, and of why it will fail.
#[derive(Default, Debug)]
struct Hints {
    unready: Option<Arc<str>>,
    errno: Option<i32>,
}

impl Hearsay {
    fn hints(&mut self, run: RunId) -> &mut Hints {
        if self.hints.as_ref().is_none_or(|(of, _)| *of != run) {
            self.hints = None;
        }
        &mut self.hints.get_or_insert_with(|| (run, Hints::default())).1
    }

    /// A run has said why it will fail.
    pub(super) fn errno(&mut self, run: RunId, errno: i32) {
        self.hints(run).errno = Some(errno);
    }

    /// Why a run that has to tell that it is ready has not done so yet.
    pub(super) fn unready(&mut self, run: RunId, why: Arc<str>) {
        self.hints(run).unready = Some(why);
    }

    /// Why this run is not ready yet, as far as it has said so.
    pub(in super::super) fn why_unready(&self, run: RunId) -> Option<&str> {
        let (of, hints) = self.hints.as_ref()?;
        hints.unready.as_deref().filter(|_| *of == run)
    }

    /// A run began: what others had said is over.
    pub(in super::super) fn began(&mut self) {
        self.last = None;
    }

    /// A run has ended; what it had said of that.
    pub(in super::super) fn ended(&mut self, run: RunId, cause: &Cause) -> Option<&str> {
        let hints = self.hints.take().filter(|(of, _)| *of == run);
        self.last = hints.and_then(|(_, hints)| hints.text(cause));
        self.last()
    }

    /// What the last run had said of its end.
    pub(in super::super) fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// How many messages did not count so far.
    pub(in super::super) fn ignored(&self) -> u64 {
        self.ignored
    }

    /// Messages did not count. How many to tell of: the first at once, then all of a minute
    /// together.
    pub(in super::super) fn ignore(&mut self, ignored: &Ignored, now: Instant) -> Option<u64> {
        self.ignored += ignored.count;
        if self.told_at.is_some_and(|at| now.saturating_duration_since(at) < IGNORED_EVERY) {
            return None;
        }
        self.told_at = Some(now);
        Some(self.ignored - std::mem::replace(&mut self.told, self.ignored))
    }
}

impl Hints {
    fn text(&self, cause: &Cause) -> Option<String> {
        let Hints { unready, errno } = self;
        let unready = match cause {
            Cause::NotReady(..) => unready.as_deref().map(str::to_owned),
            Cause::Exited(_) | Cause::StartFailed(_) | Cause::Unhealthy(_) | Cause::Watchdog(_) => {
                None
            }
        };
        let errno = errno.map(|errno| {
            let cause = os::Cause::from_io(&std::io::Error::from_raw_os_error(errno));
            format!("it said: {cause} (ERRNO={errno})")
        });
        let all: Vec<String> = unready.into_iter().chain(errno).collect();
        (!all.is_empty()).then(|| all.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use kennel_core::ExitStatus;

    use super::*;

    #[test]
    fn what_a_run_said_explains_its_own_end_and_no_other() {
        let (first, second) = (RunId(1), RunId(2));
        let late = Cause::NotReady(Duration::from_secs(1), None);
        let exit = Cause::Exited(ExitStatus::Code(3));
        let mut hearsay = Hearsay::default();
        hearsay.unready(first, "no READY=1 arrived".into());
        assert_eq!(hearsay.why_unready(first), Some("no READY=1 arrived"));
        assert_eq!(hearsay.why_unready(second), None);
        hearsay.errno(first, 2);
        let both = "no READY=1 arrived; it said: no such file or directory (ERRNO=2)";
        assert_eq!(hearsay.ended(first, &late), Some(both));
        assert_eq!(hearsay.last(), Some(both));
        hearsay.began();
        assert_eq!(hearsay.last(), None);
        // An exit says by itself why it was not ready.
        hearsay.unready(second, "x".into());
        assert_eq!(hearsay.ended(second, &exit), None);
        hearsay.errno(first, 2);
        assert_eq!(hearsay.ended(second, &exit), None, "the other run said so");
    }

    #[test]
    fn what_did_not_count_is_told_once_a_minute_with_its_number() {
        let mut hearsay = Hearsay::default();
        let begun = Instant::now();
        let three = Ignored { count: 3, why: String::new() };
        let mut at = |secs| hearsay.ignore(&three, begun + Duration::from_secs(secs));
        assert_eq!(at(0), Some(3));
        assert_eq!(at(1), None);
        assert_eq!(at(59), None);
        assert_eq!(at(60), Some(9));
        assert_eq!(at(200), Some(3));
        assert_eq!(hearsay.ignored(), 15);
    }
}
