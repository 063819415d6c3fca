//! What an earlier supervisor has left: found when the thread starts, done when all streams
//! that outlived it have been added, so that who looks at lines sees these too.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::super::feed::Feed;
use super::super::file;
use super::super::ledger::Ledger;
use super::super::output::Output;
use super::super::registry::Entry;
use super::super::spool::{self, Spool};
use super::{LogFact, Sink, Worker};

impl Worker {
    /// Finds what was left.
    pub(super) fn look_back(&mut self) {
        let Sink::Files { spool: place, .. } = &self.sink else { return };
        // A directory that cannot be listed can hardly be written: that is told then.
        for path in spool::paths(&place.dir).unwrap_or_default() {
            match Spool::open(&path) {
                Ok(Some(spool)) => self.take_over(spool),
                Ok(None) => drop(fs::remove_file(&path)),
                Err(error) => self.move_aside(&path, &error),
            }
        }
    }

    fn move_aside(&self, path: &Path, error: &io::Error) {
        let mut aside = path.as_os_str().to_owned();
        aside.push(".damaged");
        let moved = fs::rename(path, &aside);
        let path = if moved.is_ok() { aside.into() } else { path.to_path_buf() };
        self.report(LogFact::Unreadable { path, error: error.to_string() });
    }

    fn take_over(&mut self, spool: Spool) {
        let now = Instant::now();
        let Ledger { service, settings, streams, .. } = spool.recorded().clone();
        // Counted with the service once it is known to be one.
        let entry = Arc::new(Entry::new());
        let mut output = Output::new(Arc::clone(&service), settings, entry, now);
        output.redo = true;
        output.spool = Some(spool);
        for state in streams {
            let (stream, owns) = (state.key.stream, state.owns_open_line);
            let token = self.next_token();
            let feed = Feed::left_behind(Arc::clone(&service), state, now);
            self.feeds.insert(token, feed);
            output.tokens.push(token);
            if owns {
                output.owns_open_line(stream, token);
            }
        }
        self.outputs.insert(service, output);
    }

    pub(super) fn next_token(&mut self) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        token
    }

    /// The token of a stream that is added; one that was left behind goes on.
    pub(super) fn token_for(&mut self, feed: &mut Feed) -> u64 {
        let mut tokens = self.outputs.get(&feed.service).into_iter().flat_map(|it| &it.tokens);
        let is_same = |left: &Feed| left.fd.is_none() && left.key == feed.key;
        let same = tokens.find(|token| self.feeds.get(token).is_some_and(is_same));
        let Some(token) = same.copied() else { return self.next_token() };
        if let Some(earlier) = self.feeds.remove(&token) {
            feed.continues(earlier);
        }
        token
    }

    /// Everything that outlived an earlier supervisor has been added.
    pub(super) fn begin(&mut self) {
        let left = self.outputs.iter().filter(|(_, output)| output.redo && !output.stalled);
        let services: Vec<_> = left.map(|(service, _)| Arc::clone(service)).collect();
        for service in services {
            match self.redo(&service) {
                Ok(()) => self.go_on(&service),
                Err(error) => self.stall(&service, &error),
            }
        }
    }

    /// Does again what the ledger of `service` does not know to be done, and ends the streams
    /// that nobody has added.
    ///
    /// # Errors
    /// The disk refuses. It can be tried again.
    pub(super) fn redo(&mut self, service: &Arc<str>) -> io::Result<()> {
        let Sink::Files { logs, spool: place } = &self.sink else { return Ok(()) };
        let Some(output) = self.outputs.get_mut(service) else { return Ok(()) };
        if let Some(spool) = &output.spool {
            let Ledger { boot, settings, log, rotations, .. } = spool.recorded();
            // What a file system holds after the machine stopped is another matter.
            if let Some(log) = log
                && spool.is_open()
                && *boot == place.boot
            {
                file::take_back(logs, service, *log, *rotations, settings.keep)?;
            }
        }
        output.prepare(logs, &self.home)?;
        let log = output.place();
        let mut taking = None;
        if let Some(spool) = &mut output.spool {
            let known = spool.recorded().clone();
            taking = known.taking;
            spool.record(Ledger { boot: place.boot, log, rotations: 0, ..known })?;
        }
        let is_taken = |feed: &Feed| Some(feed.key) == taking;
        let token = output.tokens.iter().find(|token| self.feeds.get(token).is_some_and(is_taken));
        if let Some(token) = token.copied() {
            while let Some(output) = self.outputs.get_mut(service)
                && let Some(spool) = &mut output.spool
            {
                let count = spool.read_rest(&mut self.buffer)?;
                if count == 0 {
                    break;
                }
                self.digest(token, count);
            }
        }
        let Some(output) = self.outputs.get_mut(service) else { return Ok(()) };
        output.redo = false;
        for token in output.tokens.clone() {
            if self.feeds.get(&token).is_some_and(|feed| feed.fd.is_none()) {
                self.close(token);
            }
        }
        self.try_settle(service)
    }

    /// Looks at the streams of `service` again; an output that has none and never had one
    /// here is forgotten.
    fn go_on(&mut self, service: &Arc<str>) {
        self.wake(service);
        if self.outputs.get(service).is_some_and(|output| output.tokens.is_empty()) {
            self.outputs.remove(service);
        }
    }

    /// Looks at the streams of `service` again.
    pub(super) fn wake(&mut self, service: &Arc<str>) {
        let Some(output) = self.outputs.get(service) else { return };
        for token in &output.tokens {
            if let Some(fd) = self.feeds.get(token).and_then(|feed| feed.fd.as_ref()) {
                let _ = self.epoll.add(fd, EpollEvent::new(EpollFlags::EPOLLIN, *token));
            }
        }
    }
}
