//! How an instance speaks: messages of the `log` interface, and lines on its standard
//! output and standard error.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use crate::engine::bounds::MESSAGE_BYTES;
use crate::engine::log::{self, Budget};
use crate::engine::store::{Shared, quietly};
use crate::model::{Attributes, Severity};
use crate::probe::CallContext;

/// The voice of one instance.
pub(crate) struct Voice {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The call it is in.
    cx: Option<CallContext>,
    budget: Budget,
    /// What came of a line so far: standard output, standard error.
    lines: [Vec<u8>; 2],
}

/// Where a line comes from.
#[derive(Clone, Copy)]
pub(crate) enum Source {
    Stdout,
    Stderr,
}

impl Source {
    fn severity(self) -> Severity {
        match self {
            Self::Stdout => Severity::Info,
            Self::Stderr => Severity::Warn,
        }
    }

    fn index(self) -> usize {
        match self {
            Self::Stdout => 0,
            Self::Stderr => 1,
        }
    }
}

impl Voice {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, state: Mutex::default() }
    }

    /// A call begins: it has a budget of its own.
    pub(crate) fn begin(&self, cx: CallContext) {
        let mut state = self.lock();
        state.cx = Some(cx);
        state.budget = Budget::default();
    }

    /// A call is over: says what is left of lines, and how much was dropped.
    pub(crate) fn end(&self) {
        for source in [Source::Stdout, Source::Stderr] {
            let rest = std::mem::take(&mut self.lock().lines[source.index()]);
            if !rest.is_empty() {
                self.say(source.severity(), &String::from_utf8_lossy(&rest), Vec::new());
            }
        }
        let mut state = self.lock();
        let dropped = state.budget.dropped();
        let cx = state.cx.take();
        drop(state);
        self.shared.counters.log_dropped(dropped);
        let mentioned = self.shared.rate.dropped(dropped, Instant::now());
        if let (Some(cx), Some(dropped)) = (cx, mentioned) {
            let message = format!("{dropped} messages over the limit were dropped");
            quietly(|| self.shared.host.log(&cx, Severity::Warn, message, Vec::new()));
        }
    }

    /// Takes one message.
    pub(crate) fn say(&self, severity: Severity, message: &str, fields: Attributes) {
        let mut state = self.lock();
        if !state.budget.admit(&self.shared.rate) {
            return;
        }
        let Some(cx) = state.cx.clone() else { return };
        drop(state);
        let (message, fields) = (log::message(message), log::fields(fields));
        quietly(|| self.shared.host.log(&cx, severity, message, fields));
    }

    /// Says something about the plugin that it did not say itself.
    pub(crate) fn remark(&self, message: &str) {
        self.say(Severity::Warn, message, Vec::new());
    }

    /// Who the call is about.
    pub(crate) fn cx(&self) -> Option<CallContext> {
        self.lock().cx.clone()
    }

    fn write(&self, source: Source, bytes: &[u8]) {
        let mut state = self.lock();
        let mut line = std::mem::take(&mut state.lines[source.index()]);
        drop(state);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = MESSAGE_BYTES - line.len();
            line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") || line.len() >= MESSAGE_BYTES {
                self.say(source.severity(), &String::from_utf8_lossy(&line), Vec::new());
                line.clear();
            }
        }
        self.lock().lines[source.index()] = line;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Standard output or standard error of an instance.
#[derive(Clone)]
pub(crate) struct Lines {
    voice: Arc<Voice>,
    source: Source,
}

impl Lines {
    pub(crate) fn new(voice: &Arc<Voice>, source: Source) -> Self {
        Self { voice: Arc::clone(voice), source }
    }
}

impl IsTerminal for Lines {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Lines {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Of WASI 0.3, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Lines {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.voice.write(self.source, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(64 * 1024)
    }
}

#[async_trait]
impl Pollable for Lines {
    async fn ready(&mut self) {}
}
