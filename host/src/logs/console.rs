//! Output to the supervisor's own standard output: `NAME | text`, whole lines, names
//! aligned. Only the thread "kennel-console" comes here, so a write may block: that is
//! what a stopped terminal does, and it holds up nobody else.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::thread;
use std::time::{Duration, Instant};

use super::file::Backlog;
use super::mailbox::Mailbox;

/// Colours of names: those that can be read on dark and on light ground.
const COLOURS: [u8; 6] = [36, 33, 32, 35, 34, 31];

/// How long to wait before a full disk behind a redirected output is tried again.
const RETRY: Duration = Duration::from_millis(500);

/// Where and how lines of services with `to: inherit` are shown.
pub struct Console {
    /// Receives whole lines; may block.
    pub writer: Box<dyn Write + Send>,
    /// Whether names are coloured, each in its own colour.
    pub colour: bool,
    /// Names are padded to at least this width; a longer one widens the column from then on.
    pub width: usize,
}

impl Default for Console {
    /// Standard output, without colour.
    fn default() -> Self {
        // A file of its own for the same descriptor: a blocked write through `io::stdout`
        // would hold a lock that the rest of the program needs.
        let own = io::stdout().as_fd().try_clone_to_owned();
        let writer: Box<dyn Write + Send> = match own {
            Ok(fd) => Box::new(File::from(fd)),
            Err(_) => Box::new(io::stdout()),
        };
        Console { writer, colour: false, width: 0 }
    }
}

/// The console as its thread holds it.
pub(crate) struct ConsoleSink {
    console: Console,
    /// Why nothing can be shown any more.
    lost: Option<io::Error>,
}

impl ConsoleSink {
    pub(crate) fn new(console: Console) -> Self {
        ConsoleSink { console, lost: None }
    }

    /// What stands before each line of `service`. Changes when the column grows: ask again
    /// for every chunk.
    pub(crate) fn label(&mut self, service: &str) -> String {
        let width = self.console.width.max(service.chars().count());
        self.console.width = width;
        if self.console.colour {
            let hash =
                service.bytes().fold(0_usize, |hash, byte| hash * 31 % 9973 + usize::from(byte));
            let colour = COLOURS[hash % COLOURS.len()];
            format!("\x1b[{colour}m{service:width$} |\x1b[0m ")
        } else {
            format!("{service:width$} | ")
        }
    }

    /// Shows all of `backlog`; blocks as long as the terminal does. The error that made the
    /// console unusable is returned once, afterwards everything is thrown away: nobody is
    /// there to see it, and the services must not block.
    pub(crate) fn write(&mut self, backlog: &mut Backlog, mailbox: &Mailbox) -> Option<String> {
        let mut news = None;
        while !backlog.is_empty() {
            if self.lost.is_some() {
                backlog.advance(backlog.rest().len());
                break;
            }
            match self.console.writer.write(backlog.rest()) {
                Ok(0) => self.lost = Some(ErrorKind::WriteZero.into()),
                Ok(count) => backlog.advance(count),
                Err(error) => match error.kind() {
                    ErrorKind::Interrupted => {}
                    ErrorKind::WouldBlock | ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                        if mailbox.deadline().is_some_and(|deadline| Instant::now() >= deadline) {
                            return news;
                        }
                        let busy = error.kind() == ErrorKind::WouldBlock;
                        thread::sleep(if busy { RETRY / 20 } else { RETRY });
                    }
                    _ => self.lost = Some(error),
                },
            }
            if let Some(error) = &self.lost {
                news = Some(error.to_string());
            }
        }
        if self.lost.is_none() {
            // Whatever is wrong with it shows at the next write.
            let _ = self.console.writer.flush();
        }
        news
    }
}
