//! A host for tests: answers as it is told and remembers what it was asked and told.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::Duration;

use kennel_wasm::model::{Attributes, Severity};
use kennel_wasm::probe::{
    BoxFuture, Channel, Endpoint, ExecOutput, HttpRequest, HttpResponse, Rotate,
};
use kennel_wasm::{CallContext, Fault, Host, Kind, Observer, ProbeError, Subject};

/// How `tcp` answers, by what stands before the colon of the authority.
const HANG: &str = "hang";
const PANIC: &str = "panic";
const DENY: &str = "deny";

#[derive(Default)]
pub(crate) struct TestHost {
    pub(crate) said: Mutex<Vec<(Severity, String)>>,
    pub(crate) denied: Mutex<Vec<String>>,
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) told: Mutex<Vec<String>>,
    /// Names of the threads that messages came from.
    pub(crate) threads: Mutex<BTreeSet<String>>,
}

impl TestHost {
    pub(crate) fn said(&self) -> Vec<(Severity, String)> {
        self.said.lock().expect("sound").clone()
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.lock().expect("sound").len()
    }

    pub(crate) fn told(&self) -> Vec<String> {
        self.told.lock().expect("sound").clone()
    }

    pub(crate) fn denied(&self) -> Vec<String> {
        self.denied.lock().expect("sound").clone()
    }
}

/// A conversation that says back what it is told.
struct Echo(Vec<u8>);

impl Channel for Echo {
    fn write(
        mut self: Box<Self>,
        bytes: Vec<u8>,
        _timeout: Option<Duration>,
    ) -> BoxFuture<(Box<dyn Channel>, Result<(), ProbeError>)> {
        Box::pin(async move {
            self.0.extend(bytes);
            (self as Box<dyn Channel>, Ok(()))
        })
    }

    fn read(
        mut self: Box<Self>,
        max: u32,
        _timeout: Option<Duration>,
    ) -> BoxFuture<(Box<dyn Channel>, Result<Vec<u8>, ProbeError>)> {
        Box::pin(async move {
            let most = self.0.len().min(max as usize);
            let read = self.0.drain(..most).collect();
            (self as Box<dyn Channel>, Ok(read))
        })
    }

    fn start_tls(
        self: Box<Self>,
        _server_name: String,
        _ext: Attributes,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<(Box<dyn Channel>, Attributes), ProbeError>> {
        Box::pin(async { Err(ProbeError::Tls("none here".into())) })
    }
}

impl Host for TestHost {
    fn http(
        &self,
        _cx: CallContext,
        _request: HttpRequest,
    ) -> BoxFuture<Result<HttpResponse, ProbeError>> {
        Box::pin(async { Ok(HttpResponse { status: 200, ..HttpResponse::default() }) })
    }

    fn tcp(
        &self,
        _cx: CallContext,
        authority: String,
        _send: Vec<u8>,
        _max_read: u32,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        self.asked.lock().expect("sound").push(authority.clone());
        Box::pin(async move {
            match authority.split(':').next().unwrap_or_default() {
                HANG => std::future::pending().await,
                PANIC => panic!("as the test wants it"),
                DENY => Err(ProbeError::Denied(format!("net: [\"{authority}\"]"))),
                _ => Ok(b"pong".to_vec()),
            }
        })
    }

    fn unix(
        &self,
        _cx: CallContext,
        _path: String,
        _send: Vec<u8>,
        _max_read: u32,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn open(
        &self,
        _cx: CallContext,
        endpoint: Endpoint,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<Box<dyn Channel>, ProbeError>> {
        self.asked.lock().expect("sound").push(format!("{endpoint:?}"));
        Box::pin(async { Ok(Box::new(Echo(Vec::new())) as Box<dyn Channel>) })
    }

    fn exec(
        &self,
        _cx: CallContext,
        _command: Vec<String>,
        _timeout: Option<Duration>,
    ) -> BoxFuture<Result<ExecOutput, ProbeError>> {
        Box::pin(async { Ok(ExecOutput::default()) })
    }

    fn append(
        &self,
        _cx: CallContext,
        _path: String,
        _bytes: Vec<u8>,
        _rotate: Rotate,
    ) -> BoxFuture<Result<(), ProbeError>> {
        Box::pin(async { Ok(()) })
    }

    fn log(&self, _cx: &CallContext, severity: Severity, message: String, _fields: Attributes) {
        self.said.lock().expect("sound").push((severity, message));
        let thread = std::thread::current().name().unwrap_or_default().to_owned();
        self.threads.lock().expect("sound").insert(thread);
    }

    fn denied(&self, _plugin: &str, _subject: Option<&Subject>, grant: &str) {
        self.denied.lock().expect("sound").push(grant.into());
    }
}

impl Observer for TestHost {
    fn fault(&self, _plugin: &str, _kind: Kind, fault: &Fault) {
        self.told.lock().expect("sound").push(format!("fault: {fault}"));
    }

    fn disabled(&self, _plugin: &str, _kind: Kind, _for: Duration, _fault: &Fault) {
        self.told.lock().expect("sound").push("disabled".into());
    }

    fn enabled(&self, _plugin: &str, _kind: Kind) {
        self.told.lock().expect("sound").push("enabled".into());
    }
}
