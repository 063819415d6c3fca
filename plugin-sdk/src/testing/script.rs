//! The host of a unit test: knows which calls come, in which order, and what they get.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use super::talk::{Spoken, Talk};
use crate::host::{Exchange, Output, ProbeError, Request, Response, Rotate};
use crate::target::{Attributes, Severity};

/// A call that a plugin made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// [`Host::http`](crate::Host::http)
    Http(Request),
    /// [`Host::tcp`](crate::Host::tcp)
    Tcp(String, Exchange),
    /// [`Host::unix`](crate::Host::unix)
    Unix(String, Exchange),
    /// [`Host::exec`](crate::Host::exec)
    Exec(Vec<String>, Option<Duration>),
    /// [`Host::append`](crate::Host::append)
    Append(String, Vec<u8>, Rotate),
    /// [`Host::connect`](crate::Host::connect)
    Connect(String),
    /// [`Host::connect_unix`](crate::Host::connect_unix)
    ConnectUnix(String),
}

impl Call {
    /// What the script compares.
    fn line(&self) -> String {
        match self {
            Call::Http(request) => format!("http {} {}", request.method, request.url),
            Call::Tcp(authority, _) => format!("tcp {authority}"),
            Call::Unix(path, _) => format!("unix {path}"),
            Call::Exec(command, _) => format!("exec {}", command.join(" ")),
            Call::Append(path, _, _) => format!("append {path}"),
            Call::Connect(authority) => format!("connect {authority}"),
            Call::ConnectUnix(path) => format!("connect-unix {path}"),
        }
    }
}

/// What a scripted call gets: an answer or a [`ProbeError`].
#[derive(Debug, Clone)]
pub struct Reply<T>(Result<T, ProbeError>);

impl<T> From<ProbeError> for Reply<T> {
    fn from(error: ProbeError) -> Self {
        Reply(Err(error))
    }
}

impl From<Response> for Reply<Response> {
    fn from(response: Response) -> Self {
        Reply(Ok(response))
    }
}

impl From<Talk> for Reply<Talk> {
    fn from(talk: Talk) -> Self {
        Reply(Ok(talk))
    }
}

impl From<Output> for Reply<Output> {
    fn from(output: Output) -> Self {
        Reply(Ok(output))
    }
}

impl From<()> for Reply<()> {
    fn from((): ()) -> Self {
        Reply(Ok(()))
    }
}

impl From<&str> for Reply<Vec<u8>> {
    fn from(text: &str) -> Self {
        Reply(Ok(text.into()))
    }
}

impl From<&[u8]> for Reply<Vec<u8>> {
    fn from(bytes: &[u8]) -> Self {
        Reply(Ok(bytes.into()))
    }
}

impl From<Vec<u8>> for Reply<Vec<u8>> {
    fn from(bytes: Vec<u8>) -> Self {
        Reply(Ok(bytes))
    }
}

#[derive(Debug, Clone)]
enum Answer {
    Http(Reply<Response>),
    Bytes(Reply<Vec<u8>>),
    Exec(Reply<Output>),
    Append(Reply<()>),
    Connect(Reply<Talk>),
}

#[derive(Debug, Clone)]
struct Expected {
    line: String,
    answer: Answer,
}

#[derive(Debug, Default)]
struct Inner {
    /// For the next call of the plugin.
    expected: Vec<Expected>,
    /// What the instance that is being called has left of it.
    left: VecDeque<Expected>,
    /// What the last instance called.
    made: Vec<Call>,
    /// Conversations that were given up too early.
    unsaid: Vec<String>,
}

/// Which calls the host expects, in which order, and what they get.
#[derive(Debug, Clone, Default)]
pub struct Script {
    inner: Rc<RefCell<Inner>>,
}

impl Script {
    /// The next call is this HTTP request: `"GET http://127.0.0.1:8080/health"`.
    pub fn on_http(&mut self, request: &str, reply: impl Into<Reply<Response>>) {
        self.expect(format!("http {request}"), Answer::Http(reply.into()));
    }

    /// The next call connects to this `host:port`.
    pub fn on_tcp(&mut self, authority: &str, reply: impl Into<Reply<Vec<u8>>>) {
        self.expect(format!("tcp {authority}"), Answer::Bytes(reply.into()));
    }

    /// The next call connects to this Unix socket.
    pub fn on_unix(&mut self, path: &str, reply: impl Into<Reply<Vec<u8>>>) {
        self.expect(format!("unix {path}"), Answer::Bytes(reply.into()));
    }

    /// The next call runs this command, its words joined by blanks.
    pub fn on_exec(&mut self, command: &str, reply: impl Into<Reply<Output>>) {
        self.expect(format!("exec {command}"), Answer::Exec(reply.into()));
    }

    /// The next call appends to this file.
    pub fn on_append(&mut self, path: &str, reply: impl Into<Reply<()>>) {
        self.expect(format!("append {path}"), Answer::Append(reply.into()));
    }

    /// The next call opens a conversation with this `host:port`.
    pub fn on_connect(&mut self, authority: &str, reply: impl Into<Reply<Talk>>) {
        self.expect(format!("connect {authority}"), Answer::Connect(reply.into()));
    }

    /// The next call opens a conversation over this Unix socket.
    pub fn on_connect_unix(&mut self, path: &str, reply: impl Into<Reply<Talk>>) {
        self.expect(format!("connect-unix {path}"), Answer::Connect(reply.into()));
    }

    /// What the plugin called last time.
    pub fn calls(&self) -> Vec<Call> {
        self.inner.borrow().made.clone()
    }

    fn expect(&mut self, line: String, answer: Answer) {
        self.inner.borrow_mut().expected.push(Expected { line, answer });
    }

    /// Another instance is about to be asked the same.
    pub(super) fn rewind(&self) {
        let mut inner = self.inner.borrow_mut();
        inner.left = inner.expected.iter().cloned().collect();
        inner.made.clear();
        inner.unsaid.clear();
    }

    /// Panics when a call was expected and not made.
    pub(super) fn assert_done(&self) {
        let inner = self.inner.borrow();
        if let Some(next) = inner.left.front() {
            panic!("the plugin did not make this call: {}", next.line);
        }
        if let Some(unsaid) = inner.unsaid.first() {
            panic!("the plugin did not say this: {unsaid}");
        }
    }

    /// All instances were asked.
    pub(super) fn forget(&self) {
        self.inner.borrow_mut().expected.clear();
    }

    fn next(&self, call: Call) -> Answer {
        let mut inner = self.inner.borrow_mut();
        let line = call.line();
        inner.made.push(call);
        let next = inner.left.pop_front();
        let Some(next) = next else {
            panic!("the plugin made a call that is not in the script: {line}");
        };
        assert_eq!(line, next.line, "the plugin made another call than the script's next one");
        next.answer
    }

    pub(crate) fn http(&self, request: Request) -> Result<Response, ProbeError> {
        match self.next(Call::Http(request)) {
            Answer::Http(reply) => reply.0,
            other => panic!("not an answer to a request: {other:?}"),
        }
    }

    pub(crate) fn tcp(&self, to: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        match self.next(Call::Tcp(to.to_owned(), exchange)) {
            Answer::Bytes(reply) => reply.0,
            other => panic!("not an answer to a connection: {other:?}"),
        }
    }

    pub(crate) fn unix(&self, path: &str, exchange: Exchange) -> Result<Vec<u8>, ProbeError> {
        match self.next(Call::Unix(path.to_owned(), exchange)) {
            Answer::Bytes(reply) => reply.0,
            other => panic!("not an answer to a connection: {other:?}"),
        }
    }

    pub(crate) fn connect(&self, to: &str) -> Result<Spoken, ProbeError> {
        self.spoken(Call::Connect(to.to_owned()))
    }

    pub(crate) fn connect_unix(&self, path: &str) -> Result<Spoken, ProbeError> {
        self.spoken(Call::ConnectUnix(path.to_owned()))
    }

    fn spoken(&self, call: Call) -> Result<Spoken, ProbeError> {
        match self.next(call) {
            Answer::Connect(reply) => Ok(Spoken::new(reply.0?, self.clone())),
            other => panic!("not an answer to a connection: {other:?}"),
        }
    }

    /// A conversation ended before the plugin said this.
    pub(super) fn unsaid(&self, what: String) {
        self.inner.borrow_mut().unsaid.push(what);
    }

    pub(crate) fn exec(
        &self,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<Output, ProbeError> {
        match self.next(Call::Exec(command, timeout)) {
            Answer::Exec(reply) => reply.0,
            other => panic!("not an answer to a command: {other:?}"),
        }
    }

    pub(crate) fn append(
        &self,
        path: &str,
        bytes: &[u8],
        rotate: Rotate,
    ) -> Result<(), ProbeError> {
        match self.next(Call::Append(path.to_owned(), bytes.to_owned(), rotate)) {
            Answer::Append(reply) => reply.0,
            other => panic!("not an answer to an append: {other:?}"),
        }
    }
}

/// A line that a plugin logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// How much it matters.
    pub severity: Severity,
    /// The line.
    pub message: String,
    /// Its fields.
    pub fields: Attributes,
}

thread_local! {
    static LOG: RefCell<Vec<LogLine>> = const { RefCell::new(Vec::new()) };
}

pub(crate) fn log(severity: Severity, message: String, fields: Attributes) {
    LOG.with_borrow_mut(|lines| lines.push(LogLine { severity, message, fields }));
}

/// What was logged since the last time.
pub(super) fn take_log() -> Vec<LogLine> {
    LOG.take()
}
