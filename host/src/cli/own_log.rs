//! The supervisor's own log, on standard error.
//!
//! ```text
//!   tracing ──try_send──► queue ──► "kennel-stderr" ──write──► standard error
//! ```
//!
//! Whoever reads standard error may stop reading: a pager, a terminal after Ctrl-S, a full
//! pipe. What supervises says things too, and must not wait for them to be read. So lines
//! go through a bounded queue, and those that find it full are dropped and counted.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

/// Lines that may wait for a slow standard error.
const LINES: usize = 10_000;

enum Piece {
    Line(Vec<u8>),
    /// Answer when everything before is written.
    Flush(SyncSender<()>),
}

/// The way to standard error that never waits. Each write is one whole line.
#[derive(Clone)]
pub(super) struct OwnLog {
    queue: SyncSender<Piece>,
    dropped: Arc<AtomicU64>,
}

impl OwnLog {
    /// Starts the thread that writes to `out`.
    ///
    /// # Errors
    /// No thread to be had.
    pub(super) fn start(out: impl Write + Send + 'static) -> io::Result<OwnLog> {
        let (queue, pieces) = sync_channel(LINES);
        let dropped = Arc::new(AtomicU64::new(0));
        let own = Arc::clone(&dropped);
        std::thread::Builder::new()
            .name("kennel-stderr".into())
            .spawn(move || write_all(out, &pieces, &own))?;
        Ok(OwnLog { queue, dropped })
    }

    /// Waits until everything that was said is written, `patience` at most.
    pub(super) fn flush(&self, patience: Duration) {
        let (done, written) = sync_channel(1);
        // A queue that is full belongs to somebody who does not read.
        if self.queue.try_send(Piece::Flush(done)).is_ok() {
            let _ = written.recv_timeout(patience);
        }
    }
}

impl Write for OwnLog {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.queue.try_send(Piece::Line(line.to_owned())).is_err() {
            self.dropped.fetch_add(1, Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write_all(mut out: impl Write, pieces: &Receiver<Piece>, dropped: &AtomicU64) {
    for piece in pieces {
        match piece {
            // A closed standard error is no reason to stop supervising.
            Piece::Line(line) => drop(out.write_all(&line).and_then(|()| out.flush())),
            Piece::Flush(done) => drop(done.send(())),
        }
        let lost = dropped.swap(0, Relaxed);
        if lost > 0 {
            tracing::warn!("{lost} lines of this log are missing: nobody read it for a while");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::time::Instant;

    use super::*;

    #[test]
    fn who_says_something_never_waits_for_who_reads_it() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut log = OwnLog::start(writer).unwrap();
        let line = [&[b'x'; 99][..], b"\n"].concat();
        let begun = Instant::now();
        for _ in 0..2 * LINES {
            log.write_all(&line).unwrap();
        }
        log.flush(Duration::from_millis(10));
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert!(log.dropped.load(Relaxed) > 0, "more than the queue and a pipe can hold");
        drop(log);
        let mut read = Vec::new();
        reader.read_to_end(&mut read).unwrap();
        assert!(read.len() >= LINES * line.len(), "only {} bytes", read.len());
        assert!(read.chunks(line.len()).all(|chunk| chunk == line), "a line is torn");
    }

    #[test]
    fn what_was_said_before_a_flush_is_written_after_it() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut log = OwnLog::start(writer).unwrap();
        log.write_all(b"the last words\n").unwrap();
        log.flush(Duration::from_secs(20));
        let mut read = [0; 15];
        reader.read_exact(&mut read).unwrap();
        assert_eq!(&read, b"the last words\n");
    }
}
