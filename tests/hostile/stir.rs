//! What has a plugin make trouble again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::Kennel;

/// Between two times that a plugin is stirred up: long enough for the victim to crash.
const PAUSE: Duration = Duration::from_millis(500);

/// What is done again and again so that a plugin makes trouble again and again. The same is done
/// where there is no plugin: only the plugin is to make a difference.
#[derive(Clone, Copy)]
pub(super) enum Stir {
    /// It needs no help.
    Nothing,
    /// A plugin that was refused is loaded anew with each reload.
    Reload,
    /// The victim runs again, and crashes again.
    Restart,
    /// A signal that does nothing is an event.
    Signal,
}

impl Stir {
    fn once(self, kennel: &Kennel) {
        let target = match self {
            Stir::Nothing => return,
            Stir::Reload => "/v1/reload",
            Stir::Restart => "/v1/services/victim/restart?wait=false",
            Stir::Signal => "/v1/services/s1/signal?signal=CONT",
        };
        // Whether it was of use is seen by who counts the trouble.
        let _ = kennel.api("POST", target);
    }

    /// Stirs until `look` has seen what it is there for.
    pub(super) fn during<T>(self, kennel: &Kennel, look: impl FnOnce() -> T) -> T {
        /// Says that it is over, also when `look` panics.
        struct Over<'a>(&'a AtomicBool);
        impl Drop for Over<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::SeqCst) {
                    self.once(kennel);
                    thread::sleep(PAUSE);
                }
            });
            let _over = Over(&is_over);
            look()
        })
    }
}
