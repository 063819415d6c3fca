//! The time of the core and that of people.

use std::time::{Duration, SystemTime};

use kennel_core::Time;
use tokio::time::Instant;

use crate::fake_clock::FakeClock;
use crate::os;

/// The driver's clock: monotonic for the core, translated for people.
#[derive(Clone)]
pub(crate) struct Clock {
    origin: Instant,
    pub(super) started_at: SystemTime,
    fake: Option<Fake>,
}

/// A clock that is told when to go on.
#[derive(Clone)]
struct Fake {
    clock: FakeClock,
    /// What it showed when the supervisor started.
    shown: Duration,
    /// The time of the core then.
    started: Time,
}

impl Clock {
    /// Counts from the boot, so that times mean the same to the supervisor that comes after.
    pub(super) fn start(fake: Option<FakeClock>) -> Clock {
        let (now, booted) = (Instant::now(), os::monotonic());
        let origin = now.checked_sub(booted).unwrap_or(now);
        let fake = fake.map(|clock| {
            let (shown, started) = (clock.elapsed(), Time::from_origin(booted));
            Fake { clock, shown, started }
        });
        Clock { origin, started_at: SystemTime::now(), fake }
    }

    pub(super) fn now(&self) -> Time {
        match &self.fake {
            None => Time::from_origin(self.origin.elapsed()),
            Some(fake) => fake.started + fake.passed(),
        }
    }

    /// When a real clock comes to this time; none of a fake one.
    pub(super) fn instant(&self, time: Time) -> Option<Instant> {
        match self.fake {
            None => {
                let instant = self.origin.checked_add(time.since_origin());
                Some(instant.unwrap_or_else(far_future))
            }
            Some(_) => None,
        }
    }

    /// Returns when a fake clock comes to this time; never with a real one.
    pub(super) async fn reached(&self, time: Option<Time>) {
        match (&self.fake, time) {
            (Some(fake), Some(time)) => {
                fake.clock.until(fake.shown.saturating_add(time.since(fake.started))).await;
            }
            (None, _) | (_, None) => std::future::pending().await,
        }
    }

    pub(super) fn is_fake(&self) -> bool {
        self.fake.is_some()
    }

    /// The wall-clock time of `time`, by the wall clock as it goes now.
    pub(super) fn wall(&self, time: Time) -> SystemTime {
        let ago = self.now().since(time);
        let wall = match &self.fake {
            None => SystemTime::now(),
            Some(fake) => self.started_at.checked_add(fake.passed()).unwrap_or(self.started_at),
        };
        wall.checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH)
    }
}

impl Fake {
    /// Since the supervisor started.
    fn passed(&self) -> Duration {
        self.clock.elapsed().saturating_sub(self.shown)
    }
}

/// A day that never comes, for deadlines past what the clock can express.
fn far_future() -> Instant {
    Instant::now() + Duration::from_secs(86_400 * 365 * 30)
}
