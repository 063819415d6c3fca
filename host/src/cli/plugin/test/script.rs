//! The world as a scenario has it: answers to probes, in order.

use std::collections::VecDeque;
use std::future::{pending, ready};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kennel_wasm::model::{Attributes, Severity};
use kennel_wasm::probe::{
    BoxFuture, CallContext, Channel, Endpoint, ExecOutput, Host, HttpRequest, HttpResponse,
    ProbeError, Rotate, Subject,
};

use super::answer::{Answer, Asked, Reply, Turn, bytes};
use super::scenario::Pattern;

/// Answers the probes of one call after the other. Clones are the same script.
#[derive(Clone, Default)]
pub(in super::super) struct Script {
    scene: Arc<Mutex<Scene>>,
}

/// What one call meets.
#[derive(Default)]
struct Scene {
    /// What is still to come.
    lines: VecDeque<Line>,
    /// What was not as it should have been.
    complaints: Vec<String>,
    /// What the plugin wrote to the log.
    log: Vec<String>,
}

/// One answer, and what it is an answer to.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) asked: Asked,
    pub(super) answer: Answer,
    pub(super) reply: Reply,
}

impl Line {
    pub(super) fn of(answer: &Answer) -> Result<Line, String> {
        Ok(Line { asked: answer.kind()?, reply: answer.reply()?, answer: answer.clone() })
    }
}

/// What came of a call, seen from the world.
pub(super) struct Played {
    pub(super) complaints: Vec<String>,
    pub(super) log: Vec<String>,
}

impl Script {
    fn scene(&self) -> MutexGuard<'_, Scene> {
        // What a panic left behind is as good as anything: it is shown, not relied on.
        self.scene.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the scene for the next call.
    pub(super) fn begin(&self, lines: Vec<Line>) {
        *self.scene() = Scene { lines: lines.into(), ..Scene::default() };
    }

    /// The call is over.
    pub(super) fn end(&self) -> Played {
        let Scene { lines, mut complaints, log } = std::mem::take(&mut *self.scene());
        complaints.extend(
            lines
                .iter()
                .filter(|line| !line.answer.optional)
                .map(|line| format!("it never asked: {}", line.asked)),
        );
        Played { complaints, log }
    }

    /// The next reply, if the plugin asks what it should ask.
    fn next(&self, asked: Asked, sent: &[u8], complain: impl Fn(&Answer) -> Vec<String>) -> Reply {
        let mut scene = self.scene();
        // What the plugin could do without it did not ask for.
        while scene.lines.front().is_some_and(|line| line.answer.optional && line.asked != asked) {
            scene.lines.pop_front();
        }
        match scene.lines.front() {
            Some(line) if line.asked == asked => {}
            Some(line) => {
                let complaint = format!("it asked: {asked}, not: {}", line.asked);
                scene.complaints.push(complaint);
                return Reply::Fails(not_in_the_scenario());
            }
            None => {
                scene.complaints.push(format!("it asked once too often: {asked}"));
                return Reply::Fails(not_in_the_scenario());
            }
        }
        let Some(Line { asked, answer, reply }) = scene.lines.pop_front() else {
            return Reply::Fails(not_in_the_scenario());
        };
        let found = complain(&answer);
        scene.complaints.extend(found.into_iter().map(|what| format!("{asked}: {what}")));
        if let Some(complaint) = unexpected(answer.expects.as_ref(), sent) {
            scene.complaints.push(format!("{asked}: {complaint}"));
        }
        reply
    }

    fn exchange(&self, asked: Asked, send: &[u8]) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        match self.next(asked, send, |_| Vec::new()) {
            Reply::Bytes(bytes) => Box::pin(ready(Ok(bytes))),
            other => failing(other),
        }
    }
}

fn not_in_the_scenario() -> ProbeError {
    ProbeError::Other("this is not in the scenario".to_owned())
}

/// What is wrong with what was sent.
fn unexpected(expected: Option<&Pattern>, sent: &[u8]) -> Option<String> {
    let expected = expected?;
    let sent = String::from_utf8_lossy(sent);
    let message = || format!("it sent {sent:?}, expected {:?}", expected.written);
    (!expected.fits(&sent)).then(message)
}

/// A reply that has no value of the kind that was asked for.
fn failing<T: Send + 'static>(reply: Reply) -> BoxFuture<Result<T, ProbeError>> {
    match reply {
        Reply::Fails(error) => Box::pin(ready(Err(error))),
        Reply::Never => Box::pin(pending()),
        Reply::Http(_) | Reply::Bytes(_) | Reply::Exec(_) | Reply::Talk(_) | Reply::Done => {
            Box::pin(ready(Err(not_in_the_scenario())))
        }
    }
}

impl Host for Script {
    fn http(
        &self,
        _cx: CallContext,
        request: HttpRequest,
    ) -> BoxFuture<Result<HttpResponse, ProbeError>> {
        let HttpRequest { method, url, headers, body, timeout: _, max_body, ext: _ } = request;
        let complain = |answer: &Answer| wrong_request(answer, &method, &headers);
        match self.next(Asked::Http(url), &body, complain) {
            Reply::Http(mut response) => {
                response.body.truncate(max_body.unwrap_or(u32::MAX) as usize);
                Box::pin(ready(Ok(response)))
            }
            other => failing(other),
        }
    }

    fn tcp(
        &self,
        _cx: CallContext,
        authority: String,
        send: Vec<u8>,
        _max_read: u32,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        self.exchange(Asked::Tcp(authority), &send)
    }

    fn unix(
        &self,
        _cx: CallContext,
        path: String,
        send: Vec<u8>,
        _max_read: u32,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        self.exchange(Asked::Unix(path), &send)
    }

    fn open(
        &self,
        _cx: CallContext,
        endpoint: Endpoint,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<Box<dyn Channel>, ProbeError>> {
        let to = match endpoint {
            Endpoint::Tcp(authority) => authority,
            Endpoint::Unix(path) => path,
        };
        match self.next(Asked::Connect(to.clone()), &[], |_| Vec::new()) {
            Reply::Talk(turns) => {
                let talk = Talk { to, turns: turns.into(), unread: Vec::new(), of: self.clone() };
                Box::pin(ready(Ok(Box::new(talk) as Box<dyn Channel>)))
            }
            other => failing(other),
        }
    }

    fn exec(
        &self,
        _cx: CallContext,
        command: Vec<String>,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<ExecOutput, ProbeError>> {
        match self.next(Asked::Exec(command), &[], |_| Vec::new()) {
            Reply::Exec(output) => Box::pin(ready(Ok(output))),
            other => failing(other),
        }
    }

    fn append(
        &self,
        _cx: CallContext,
        path: String,
        bytes: Vec<u8>,
        _rotate: Rotate,
    ) -> BoxFuture<Result<(), ProbeError>> {
        match self.next(Asked::Append(path), &bytes, |_| Vec::new()) {
            Reply::Done => Box::pin(ready(Ok(()))),
            other => failing(other),
        }
    }

    fn log(&self, _cx: &CallContext, severity: Severity, message: String, fields: Attributes) {
        let fields: String =
            fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let severity = match severity {
            Severity::Debug => "debug",
            Severity::Info => "info",
            Severity::Warn => "warn",
            Severity::Error => "error",
        };
        self.scene().log.push(format!("{severity}: {message}{fields}"));
    }

    fn denied(&self, _plugin: &str, _subject: Option<&Subject>, _grant: &str) {}
}

fn wrong_request(answer: &Answer, method: &str, headers: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(expected) = answer.method.as_deref().filter(|expected| *expected != method) {
        found.push(format!("the method is {method}, expected {expected}"));
    }
    for (name, expected) in &answer.with {
        let same = |(other, _): &&(String, String)| other.eq_ignore_ascii_case(name);
        match headers.iter().find(same) {
            Some((_, value)) if value == expected => {}
            Some((_, value)) => {
                found.push(format!("the header {name} is \"{value}\", expected \"{expected}\""));
            }
            None => found.push(format!("the header {name} is missing")),
        }
    }
    found
}

/// A conversation, turn by turn.
struct Talk {
    to: String,
    turns: VecDeque<Turn>,
    unread: Vec<u8>,
    of: Script,
}

impl Talk {
    fn complain(&self, what: String) {
        self.of.scene().complaints.push(format!("connect {}: {what}", self.to));
    }

    /// If the next turn is a failure, that.
    fn failure(&mut self) -> Option<ProbeError> {
        let Some(Turn::Fails(failure)) = self.turns.front() else { return None };
        let error = failure.error("as the scenario says");
        self.turns.pop_front();
        Some(error)
    }

    fn written(&mut self, bytes: &[u8]) -> Result<(), ProbeError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        let Some(Turn::Expects(pattern)) = self.turns.front().cloned() else {
            self.complain(format!("it sent {:?} out of turn", String::from_utf8_lossy(bytes)));
            return Err(not_in_the_scenario());
        };
        self.turns.pop_front();
        if let Some(complaint) = unexpected(Some(&pattern), bytes) {
            self.complain(complaint);
        }
        Ok(())
    }

    fn said(&mut self, max: u32) -> Result<Vec<u8>, ProbeError> {
        if self.unread.is_empty() {
            if let Some(error) = self.failure() {
                return Err(error);
            }
            match self.turns.front().cloned() {
                // Nothing more to say: the other side has closed.
                None => return Ok(Vec::new()),
                Some(Turn::Says(said)) => {
                    self.turns.pop_front();
                    self.unread = bytes(Some(&said)).map_err(ProbeError::Other)?;
                }
                Some(Turn::Expects(_) | Turn::Tls(_) | Turn::Fails(_)) => {
                    // It waits for something that only comes when it has sent something.
                    return Err(ProbeError::Timeout);
                }
            }
        }
        let rest = self.unread.split_off(self.unread.len().min(max as usize));
        Ok(std::mem::replace(&mut self.unread, rest))
    }

    fn secured(&mut self, server_name: &str) -> Result<(), ProbeError> {
        if let Some(error) = self.failure() {
            return Err(error);
        }
        match self.turns.pop_front() {
            Some(Turn::Tls(name)) if name == server_name => Ok(()),
            Some(Turn::Tls(_) | Turn::Expects(_) | Turn::Says(_) | Turn::Fails(_)) | None => {
                self.complain(format!("it began TLS for \"{server_name}\" out of turn"));
                Err(not_in_the_scenario())
            }
        }
    }
}

impl Channel for Talk {
    fn write(
        mut self: Box<Self>,
        bytes: Vec<u8>,
        _timeout: Option<Duration>,
    ) -> BoxFuture<(Box<dyn Channel>, Result<(), ProbeError>)> {
        let result = self.written(&bytes);
        Box::pin(ready((self as Box<dyn Channel>, result)))
    }

    fn read(
        mut self: Box<Self>,
        max: u32,
        _timeout: Option<Duration>,
    ) -> BoxFuture<(Box<dyn Channel>, Result<Vec<u8>, ProbeError>)> {
        let result = self.said(max);
        Box::pin(ready((self as Box<dyn Channel>, result)))
    }

    fn start_tls(
        mut self: Box<Self>,
        server_name: String,
        _ext: Attributes,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<(Box<dyn Channel>, Attributes), ProbeError>> {
        let result = self.secured(&server_name);
        Box::pin(ready(result.map(|()| (self as Box<dyn Channel>, Attributes::new()))))
    }
}
