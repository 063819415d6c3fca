//! Which host this is, and the clock that counts from its boot.

use std::fs;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// What identifies this host: `machine-id(5)`, else its name.
#[must_use]
pub fn host_id() -> String {
    let id = line_of("/etc/machine-id");
    if id.is_empty() { line_of("/proc/sys/kernel/hostname") } else { id }
}

/// `CLOCK_MONOTONIC` of `clock_gettime(2)`: the time since about the boot, without the time
/// in which the machine slept. The same for all processes of one boot.
#[must_use]
pub fn monotonic() -> Duration {
    // The call cannot fail for this clock.
    clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from)
}

fn line_of(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on() {
        let before = monotonic();
        assert!(before > Duration::ZERO && monotonic() >= before);
    }
}
