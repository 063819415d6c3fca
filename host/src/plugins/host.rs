//! What plugins ask the host for, done by the probes that built-in checks are made of.
//!
//! Grants are asked where the work is done: before a name is resolved, for each address
//! that it resolves to, and again at each redirect.

use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use kennel_wasm::model::{Attributes, Severity};
use kennel_wasm::probe::{
    BoxFuture, Channel, Endpoint, ExecOutput, HttpRequest, HttpResponse, Rotate,
};
use kennel_wasm::{CallContext, Host, ProbeError, Subject};

use super::append::Appender;
use super::launchers::Launchers;
use super::manager::Shared;
use crate::checks::{self, Deadline};

/// The host of every plugin.
pub(super) struct Probes {
    shared: Weak<Shared>,
    launchers: Arc<Launchers>,
    appender: Arc<Appender>,
}

impl Probes {
    pub(super) fn new(shared: Weak<Shared>, launchers: Arc<Launchers>) -> Probes {
        Probes { shared, launchers, appender: Arc::default() }
    }
}

fn until(cx: &CallContext, timeout: Option<Duration>) -> Deadline {
    Deadline::until(cx.deadline).shorten(timeout)
}

fn denied(denied: &kennel_wasm::grants::Denied) -> ProbeError {
    ProbeError::Denied(denied.to_string())
}

impl Host for Probes {
    fn http(
        &self,
        cx: CallContext,
        request: HttpRequest,
    ) -> BoxFuture<Result<HttpResponse, ProbeError>> {
        Box::pin(async move {
            let deadline = until(&cx, request.timeout);
            Ok(checks::http(request, &*cx.grants, deadline).await?)
        })
    }

    fn tcp(
        &self,
        cx: CallContext,
        authority: String,
        send: Vec<u8>,
        max_read: u32,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        Box::pin(async move {
            let deadline = until(&cx, timeout);
            Ok(checks::tcp(&authority, &send, max_read, &*cx.grants, deadline).await?)
        })
    }

    fn unix(
        &self,
        cx: CallContext,
        path: String,
        send: Vec<u8>,
        max_read: u32,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        Box::pin(async move {
            let path = cx.grants.unix(&path).map_err(|error| denied(&error))?;
            Ok(checks::unix(&path, &send, max_read, until(&cx, timeout)).await?)
        })
    }

    fn open(
        &self,
        cx: CallContext,
        endpoint: Endpoint,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<Box<dyn Channel>, ProbeError>> {
        Box::pin(async move {
            let deadline = until(&cx, timeout);
            let channel = match endpoint {
                Endpoint::Tcp(authority) => {
                    checks::Channel::tcp(&authority, &*cx.grants, deadline).await?
                }
                Endpoint::Unix(path) => {
                    let path = cx.grants.unix(&path).map_err(|error| denied(&error))?;
                    checks::Channel::unix(&path, deadline).await?
                }
            };
            Ok(Box::new(Conversation { channel, cx }) as Box<dyn Channel>)
        })
    }

    fn exec(
        &self,
        cx: CallContext,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<ExecOutput, ProbeError>> {
        let launcher = cx.subject.as_ref().and_then(|subject| self.launchers.of(subject));
        Box::pin(async move {
            cx.grants.exec().map_err(|error| denied(&error))?;
            let Some(launcher) = launcher else {
                let why = "cannot run a command: no service runs whose user it could have";
                return Err(ProbeError::Other(why.to_owned()));
            };
            Ok(checks::exec(launcher, command, until(&cx, timeout)).await?.into())
        })
    }

    fn append(
        &self,
        cx: CallContext,
        path: String,
        bytes: Vec<u8>,
        rotate: Rotate,
    ) -> BoxFuture<Result<(), ProbeError>> {
        let appender = Arc::clone(&self.appender);
        Box::pin(async move {
            let path = cx.grants.file(&path).map_err(|error| denied(&error))?;
            let appended = appender.append(path.clone(), bytes, rotate).await;
            appended.map_err(|error| ProbeError::Other(cannot_append(&path, &error)))
        })
    }

    fn log(&self, cx: &CallContext, severity: Severity, message: String, fields: Attributes) {
        let plugin = &*cx.plugin;
        let service = cx.subject.as_ref().map(|subject| self.launchers.name(subject));
        let service = service.as_deref();
        let fields: String =
            fields.iter().map(|(name, value)| format!(" {name}={value:?}")).collect();
        match severity {
            Severity::Debug => {
                tracing::debug!(target: "plugin", plugin, service, "{message}{fields}");
            }
            Severity::Info => {
                tracing::info!(target: "plugin", plugin, service, "{message}{fields}");
            }
            Severity::Warn => {
                tracing::warn!(target: "plugin", plugin, service, "{message}{fields}");
            }
            Severity::Error => {
                tracing::error!(target: "plugin", plugin, service, "{message}{fields}");
            }
        }
    }

    fn denied(&self, plugin: &str, subject: Option<&Subject>, grant: &str) {
        if let Some(shared) = self.shared.upgrade() {
            let service = subject.map(|subject| self.launchers.name(subject));
            shared.reports.denied(plugin, service, grant, Instant::now());
        }
    }
}

fn cannot_append(path: &Path, error: &std::io::Error) -> String {
    let cause = match error.raw_os_error() {
        Some(_) => crate::os::Cause::from_io(error).to_string(),
        None => error.to_string(),
    };
    format!("cannot append to \"{}\": {cause}", path.display())
}

/// A conversation of a plugin with a server, which ends with the call.
struct Conversation {
    channel: checks::Channel,
    cx: CallContext,
}

impl Channel for Conversation {
    fn write(
        mut self: Box<Self>,
        bytes: Vec<u8>,
        timeout: Option<Duration>,
    ) -> BoxFuture<(Box<dyn Channel>, Result<(), ProbeError>)> {
        Box::pin(async move {
            let written = self.channel.write(&bytes, until(&self.cx, timeout)).await;
            (self as Box<dyn Channel>, written.map_err(ProbeError::from))
        })
    }

    fn read(
        mut self: Box<Self>,
        max: u32,
        timeout: Option<Duration>,
    ) -> BoxFuture<(Box<dyn Channel>, Result<Vec<u8>, ProbeError>)> {
        Box::pin(async move {
            let read = self.channel.read(max, until(&self.cx, timeout)).await;
            (self as Box<dyn Channel>, read.map_err(ProbeError::from))
        })
    }

    fn start_tls(
        mut self: Box<Self>,
        server_name: String,
        ext: Attributes,
        timeout: Option<Duration>,
    ) -> BoxFuture<Result<(Box<dyn Channel>, Attributes), ProbeError>> {
        Box::pin(async move {
            let deadline = until(&self.cx, timeout);
            let facts = self.channel.start_tls(&server_name, &ext, deadline).await?;
            Ok((self as Box<dyn Channel>, facts))
        })
    }
}
