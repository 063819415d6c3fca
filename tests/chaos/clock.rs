//! A wall clock of the supervisor's own, which jumps while it runs: libfaketime gives it one. The
//! time since the boot is the real one, and so is all time for services.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::skip::is_not_installed;
use crate::support::{BOUND, Kennel, wait_for};

use super::random::Random;

/// Seconds from the real time.
const JUMPS: [i64; 5] = [0, 3600, -3600, 90_000, -90_000];

/// How far the shown time may be from what was asked for.
const ABOUT: i64 = 60;

pub(super) struct Clock {
    library: PathBuf,
}

impl Clock {
    /// None where there is no libfaketime.
    pub(super) fn find() -> Option<Clock> {
        let places = fs::read_dir("/usr/lib").into_iter().flatten().flatten();
        let places = places.map(|entry| entry.path()).chain(["/usr/lib64".into()]);
        let mut libraries = places.map(|place| place.join("faketime/libfaketimeMT.so.1"));
        let found = libraries.find(|library| library.exists());
        if found.is_none() {
            is_not_installed("libfaketime");
        }
        Some(Clock { library: found? })
    }

    /// What a shell does before it becomes a supervisor with this clock.
    pub(super) fn prelude(&self) -> String {
        format!(
            "export LD_PRELOAD={} FAKETIME_TIMESTAMP_FILE=$PWD/clock FAKETIME_CACHE_DURATION=1 \
             FAKETIME_DONT_FAKE_MONOTONIC=1 DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1",
            self.library.display()
        )
    }

    /// The supervisor has another time at once; its events say so.
    pub(super) fn jump(&self, random: &mut Random, kennel: &Kennel) {
        let by = random.pick(&JUMPS);
        kennel.write("clock.new", &format!("{by:+}\n"));
        fs::rename(kennel.path("clock.new"), kennel.path("clock")).unwrap();
        wait_for("the clock to have jumped", BOUND, || {
            kennel.cli(&["reload"]).ok();
            let events = kennel.events();
            let at = events.last()?["at"].as_str()?.parse::<jiff::Timestamp>().ok()?;
            let expected = jiff::Timestamp::now().as_second() + by;
            ((at.as_second() - expected).abs() < ABOUT).then_some(())
        });
    }
}

impl Drop for Clock {
    /// The library leaves something in memory when its process is killed.
    fn drop(&mut self) {
        for entry in fs::read_dir("/dev/shm").into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_of = |prefix: &str| name.strip_prefix(prefix)?.parse::<i32>().ok();
            let owner = is_of("faketime_shm_").or_else(|| is_of("sem.faketime_sem_"));
            if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
                let _ = fs::remove_file(entry.path());
            }
        }
    }
}
