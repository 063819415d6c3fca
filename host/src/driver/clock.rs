//! The time of the core and that of people.

use std::time::{Duration, SystemTime};

use kennel_core::Time;
use tokio::time::Instant;

use crate::os;

/// The driver's clock: monotonic for the core, translated for people.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    pub(super) started_at: SystemTime,
}

impl Clock {
    /// Counts from the boot, so that times mean the same to the supervisor that comes after.
    pub(super) fn start() -> Clock {
        let now = Instant::now();
        let origin = now.checked_sub(os::monotonic()).unwrap_or(now);
        Clock { origin, started_at: SystemTime::now() }
    }

    pub(super) fn now(self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    pub(super) fn instant(self, time: Time) -> Instant {
        self.origin.checked_add(time.since_origin()).unwrap_or_else(far_future)
    }

    /// The wall-clock time of `time`, by the wall clock as it goes now.
    pub(super) fn wall(self, time: Time) -> SystemTime {
        let ago = self.now().since(time);
        SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

/// A day that never comes, for deadlines past what the clock can express.
fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365 * 30)
}
