//! Work that may never come back: what asks a file system whose server is gone.
//!
//! No system call on such a file system can be taken back, so the thread that is in one is
//! left to itself. It costs a stack, and the program can end all the same.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum Unanswered {
    /// Not in time. What comes later is dropped.
    Late,
    /// There was no thread to be had.
    NoThread(io::Error),
}

/// Does `work` on a thread of its own and waits for its answer, for `patience` at most.
pub(crate) fn bounded<T: Send + 'static>(
    name: &str,
    patience: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Unanswered> {
    let (answer, answered) = mpsc::sync_channel(1);
    let thread = thread::Builder::new().name(name.to_owned());
    // An answer that nobody waits for any more is dropped with the channel.
    thread.spawn(move || drop(answer.send(work()))).map_err(Unanswered::NoThread)?;
    answered.recv_timeout(patience).map_err(|_| Unanswered::Late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_never_ends_is_not_waited_for() {
        let (_held, never) = mpsc::channel::<()>();
        let late = bounded("test", Duration::from_millis(10), move || never.recv());
        assert!(matches!(late, Err(Unanswered::Late)));
        let done = bounded("test", Duration::from_secs(20), || 7);
        assert!(matches!(done, Ok(7)));
    }
}
