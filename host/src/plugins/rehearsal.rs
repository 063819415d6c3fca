//! What plugins would ask the host for first, and whether that is granted: `kennel check`
//! finds a missing grant before a service runs without its check.
//!
//! Only the first request is looked at. It cannot depend on an answer, because nothing is
//! answered: no name is resolved, nothing is connected to, run or written.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use kennel_wasm::grants::{Denied, Endpoint as Place};
use kennel_wasm::model::{Attributes, Severity, sink};
use kennel_wasm::probe::{
    BoxFuture, Channel, Endpoint, ExecOutput, HttpRequest, HttpResponse, Rotate,
};
use kennel_wasm::{Binding, CallContext, Grants, Host, ProbeError, Subject};

use super::load::{ask_once, unix_ms};
use super::manager::Shared;
use super::uses::{Asker, Use};
use crate::checks::{self, Allow, Deadline};

/// A host that does nothing.
#[derive(Clone, Default)]
pub(super) struct Rehearsal {
    /// What came of the first request.
    first: Arc<Mutex<Option<Result<(), Denied>>>>,
}

impl Rehearsal {
    /// Asks the plugin once; gives the grant that is missing for what it wanted first.
    pub(super) async fn of(
        &self,
        shared: &Shared,
        patience: Duration,
        of: &Use,
        binding: &Binding,
    ) -> Option<Denied> {
        *self.first.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // What it answers says nothing here, not even that it fails.
        match &of.asker {
            Asker::Service(..) => drop(ask_once(shared, patience, of, binding).await),
            Asker::Sink(_) => drop(binding.deliver(batch()).await),
        }
        self.first.lock().unwrap_or_else(PoisonError::into_inner).take()?.err()
    }

    fn refuse<T>(&self, asked: Result<(), Denied>) -> BoxFuture<Result<T, ProbeError>> {
        let error = match &asked {
            Ok(()) => ProbeError::Other("nothing is asked while plugins are checked".to_owned()),
            Err(denied) => ProbeError::Denied(denied.to_string()),
        };
        self.note(asked);
        Box::pin(async { Err(error) })
    }

    fn note(&self, asked: Result<(), Denied>) {
        self.first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(asked);
    }

    fn to(&self, cx: &CallContext) -> Nowhere {
        Nowhere { grants: Arc::clone(&cx.grants), rehearsal: self.clone() }
    }
}

/// Lets no probe go anywhere, and notes whether it might.
struct Nowhere {
    grants: Arc<Grants>,
    rehearsal: Rehearsal,
}

impl Allow for Nowhere {
    fn before_dns(&self, endpoint: &Place) -> Result<(), Denied> {
        let asked = self.grants.before_dns(endpoint);
        self.rehearsal.note(asked.clone());
        Err(asked.err().unwrap_or(Denied { grant: String::new() }))
    }

    fn after_dns(&self, _: &Place, _: IpAddr) -> Result<(), Denied> {
        Err(Denied { grant: String::new() })
    }
}

/// Something that may have happened, for a sink.
fn batch() -> sink::Batch {
    let now_unix_ms = unix_ms(SystemTime::now());
    let event = sink::Event {
        sequence: 1,
        at_unix_ms: now_unix_ms,
        kind: "service.failed".to_owned(),
        severity: Severity::Error,
        service: Some("check".to_owned()),
        instance: None,
        message: "nothing has happened: plugins are checked".to_owned(),
        attributes: Attributes::new(),
    };
    sink::Batch { events: vec![event], dropped: 0, now_unix_ms }
}

impl Host for Rehearsal {
    fn http(
        &self,
        cx: CallContext,
        request: HttpRequest,
    ) -> BoxFuture<Result<HttpResponse, ProbeError>> {
        let nowhere = self.to(&cx);
        Box::pin(
            async move { Ok(checks::http(request, &nowhere, Deadline::until(cx.deadline)).await?) },
        )
    }

    fn tcp(
        &self,
        cx: CallContext,
        authority: String,
        send: Vec<u8>,
        max_read: u32,
        _: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        let nowhere = self.to(&cx);
        Box::pin(async move {
            let deadline = Deadline::until(cx.deadline);
            Ok(checks::tcp(&authority, &send, max_read, &nowhere, deadline).await?)
        })
    }

    fn unix(
        &self,
        cx: CallContext,
        path: String,
        _: Vec<u8>,
        _: u32,
        _: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        self.refuse(cx.grants.unix(&path).map(drop))
    }

    fn open(
        &self,
        cx: CallContext,
        endpoint: Endpoint,
        _: Option<Duration>,
    ) -> BoxFuture<Result<Box<dyn Channel>, ProbeError>> {
        let authority = match endpoint {
            Endpoint::Tcp(authority) => authority,
            Endpoint::Unix(path) => return self.refuse(cx.grants.unix(&path).map(drop)),
        };
        let nowhere = self.to(&cx);
        Box::pin(async move {
            let deadline = Deadline::until(cx.deadline);
            drop(checks::Channel::tcp(&authority, &nowhere, deadline).await?);
            Err(ProbeError::Other("nothing is asked while plugins are checked".to_owned()))
        })
    }

    fn exec(
        &self,
        cx: CallContext,
        _: Vec<String>,
        _: Option<Duration>,
    ) -> BoxFuture<Result<ExecOutput, ProbeError>> {
        self.refuse(cx.grants.exec())
    }

    fn append(
        &self,
        cx: CallContext,
        path: String,
        _: Vec<u8>,
        _: Rotate,
    ) -> BoxFuture<Result<(), ProbeError>> {
        self.refuse(cx.grants.file(&path).map(drop))
    }

    fn log(&self, _: &CallContext, _: Severity, _: String, _: Attributes) {}

    fn denied(&self, _: &str, _: Option<&Subject>, _: &str) {}
}
