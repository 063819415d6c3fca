//! Temporary.
use super::append::Appender;
use super::launchers::Launchers;
use super::manager::Shared;
use kennel_wasm::model::{Attributes, Severity};
use kennel_wasm::probe::{
    BoxFuture, Channel, Endpoint, ExecOutput, HttpRequest, HttpResponse, Rotate,
};
use kennel_wasm::{CallContext, Host, ProbeError, Subject};
use std::sync::{Arc, Weak};
use std::time::Duration;
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
fn no<T: Send + 'static>() -> BoxFuture<Result<T, ProbeError>> {
    Box::pin(async { Err(ProbeError::Other("not yet".into())) })
}
impl Host for Probes {
    fn http(&self, _: CallContext, _: HttpRequest) -> BoxFuture<Result<HttpResponse, ProbeError>> {
        no()
    }
    fn tcp(
        &self,
        _: CallContext,
        _: String,
        _: Vec<u8>,
        _: u32,
        _: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        no()
    }
    fn unix(
        &self,
        _: CallContext,
        _: String,
        _: Vec<u8>,
        _: u32,
        _: Option<Duration>,
    ) -> BoxFuture<Result<Vec<u8>, ProbeError>> {
        no()
    }
    fn open(
        &self,
        _: CallContext,
        _: Endpoint,
        _: Option<Duration>,
    ) -> BoxFuture<Result<Box<dyn Channel>, ProbeError>> {
        no()
    }
    fn exec(
        &self,
        _: CallContext,
        _: Vec<String>,
        _: Option<Duration>,
    ) -> BoxFuture<Result<ExecOutput, ProbeError>> {
        no()
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
            let path = cx.grants.file(&path).map_err(|e| ProbeError::Denied(e.to_string()))?;
            appender.append(path, bytes, rotate).await.map_err(|e| ProbeError::Other(e.to_string()))
        })
    }
    fn log(&self, cx: &CallContext, _: Severity, message: String, _: Attributes) {
        tracing::info!(target: "plugin", plugin = &*cx.plugin, "{message}");
    }
    fn denied(&self, plugin: &str, subject: Option<&Subject>, grant: &str) {
        if let Some(shared) = self.shared.upgrade() {
            let service = subject.map(|subject| self.launchers.name(subject));
            shared.reports.denied(plugin, service, grant);
        }
    }
}
