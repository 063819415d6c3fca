//! A build without plugins: the same handle, which says so to whoever asks.
//!
//! A configuration with plugins is refused by this build before any of this is asked.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kennel_core::{CheckOutcome, PolicyAnswer, RunId};
use kennel_wasm::model::sink;
use kennel_wasm::{Subject, Traps};

use super::question::{CheckQuestion, CheckReply, PolicyQuestion, PolicyReply, Requirer};
use super::samples::Samples;
use super::status::PluginStatus;
use super::{Invalid, Tell};
use crate::checks::Launcher;
use crate::config::Config;

const ABSENT: &str = "this build of kennel has no plugins";

/// No plugins.
#[derive(Clone, Default)]
pub(crate) struct Plugins {
    samples: Arc<Samples>,
}

/// Nothing to change.
pub(crate) struct Prepared;

impl Prepared {
    /// What was refused: nothing.
    pub(crate) fn refusals(&self) -> Vec<String> {
        Vec::new()
    }
}

impl Plugins {
    /// A handle on nothing.
    pub(crate) fn new(_: PathBuf, _: Traps, _: Tell) -> Plugins {
        Plugins::default()
    }

    /// Does nothing.
    pub(crate) fn start(&self, _: &Config) {}

    /// Nothing is waited for.
    pub(crate) fn required(
        &self,
        _: Requirer,
    ) -> Option<impl Future<Output = Result<(), String>> + Send + 'static> {
        None::<std::future::Ready<_>>
    }

    /// The check cannot be made.
    pub(crate) fn check(
        &self,
        _: CheckQuestion,
    ) -> impl Future<Output = CheckReply> + Send + 'static {
        let (outcome, reason) = (CheckOutcome::Impossible, ABSENT.to_owned());
        std::future::ready(CheckReply { outcome, reason, next: None })
    }

    /// The built-in policy decides.
    pub(crate) fn decide(
        &self,
        _: PolicyQuestion,
    ) -> impl Future<Output = PolicyReply> + Send + 'static {
        let (answer, reason) = (PolicyAnswer::Default, ABSENT.to_owned());
        std::future::ready(PolicyReply { answer, reason })
    }

    /// Nobody takes events.
    ///
    /// # Errors
    /// Always.
    pub(crate) fn deliver(
        &self,
        _: Arc<str>,
        _: sink::Batch,
    ) -> impl Future<Output = Result<sink::Delivery, String>> + Send + 'static {
        std::future::ready(Err(ABSENT.to_owned()))
    }

    /// Does nothing.
    pub(crate) fn run_began(&self, _: RunId, _: Subject, _: Arc<str>, _: Arc<dyn Launcher>) {}

    /// Does nothing.
    pub(crate) fn run_ended(&self, _: RunId) {}

    /// Does nothing.
    pub(crate) fn operator_spoke(&self, _: &str, _: u32) {}

    /// Has nothing to prepare.
    pub(crate) fn prepare(&self, _: &Config) -> impl Future<Output = Prepared> + Send + 'static {
        std::future::ready(Prepared)
    }

    /// Does nothing.
    pub(crate) fn swap(&self, prepared: Prepared) {
        let Prepared = prepared;
    }

    /// There are none.
    pub(crate) fn status(&self) -> Vec<PluginStatus> {
        Vec::new()
    }

    /// There are none.
    pub(crate) fn samples(&self) -> &Samples {
        &self.samples
    }

    /// There is nothing to write.
    pub(crate) fn flush(&self, _: Duration) -> bool {
        true
    }

    /// There is nothing to write.
    pub(crate) fn close(&self, _: Duration) -> bool {
        true
    }
}

/// Finds nothing wrong.
pub(crate) async fn validate(_: &Config, _: Traps) -> Vec<Invalid> {
    Vec::new()
}
