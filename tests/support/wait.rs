//! Waiting for a fact, with a bound.

use std::thread;
use std::time::{Duration, Instant};

/// How long anything may take that should happen at once: a test that runs beside many
/// others on a small machine must not fail for that.
pub(crate) const BOUND: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(20);

/// Looks again and again until `look` sees something.
///
/// # Panics
/// After `bound`, naming `what` was waited for.
#[track_caller]
pub(crate) fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(begun.elapsed() < bound, "waited {bound:?} in vain for: {what}");
        thread::sleep(PAUSE);
    }
}
