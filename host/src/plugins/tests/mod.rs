//! The manager with plugins that are real components, in the runtime that supervisors have.

mod asking;
mod busy;
#[path = "../../../../tests/support/guest.rs"]
mod guest;
mod hosting;
mod reloading;
mod validating;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kennel_core::CheckOutcome;
use kennel_wasm::Traps;
use kennel_wasm::model::sink;
use tempfile::TempDir;
use tokio::sync::mpsc;

use super::question::CheckReply;
use super::{About, CheckQuestion, PluginFact, PluginStatus, Plugins, Prepared, Slot};
use crate::config::{self, Config, Environment, Loaded};
use guest::Does;

/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

/// A place for plugins, and what is told of them.
struct Fixture {
    dir: TempDir,
    plugins: Plugins,
    facts: mpsc::UnboundedReceiver<PluginFact>,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::in_dir(tempfile::tempdir().unwrap())
    }

    fn in_dir(dir: TempDir) -> Fixture {
        let (sender, facts) = mpsc::unbounded_channel();
        let tell = Arc::new(move |fact| drop(sender.send(fact)));
        let plugins = Plugins::new(dir.path().join("state"), Traps::Checked, tell);
        Fixture { dir, plugins, facts }
    }

    /// The next supervisor on the same state directory.
    fn again(self) -> Fixture {
        assert!(self.plugins.close(SOON));
        Fixture::in_dir(self.dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        // As an editor does: the new file takes the place of the old one.
        let beside = self.path("beside");
        std::fs::write(&beside, bytes).unwrap();
        std::fs::rename(beside, self.path(name)).unwrap();
    }

    fn loaded(&self, text: &str) -> Loaded {
        loaded(&self.path("services.yaml"), text)
    }

    fn config(&self, text: &str) -> Config {
        self.loaded(text).config
    }

    /// Starts with `text` and waits until each of so many plugins is there or refused.
    async fn start(&mut self, text: &str, count: usize) -> Vec<PluginFact> {
        self.plugins.start(&self.config(text));
        let mut facts = Vec::new();
        for _ in 0..count {
            facts.push(self.fact().await);
        }
        facts
    }

    async fn fact(&mut self) -> PluginFact {
        tokio::time::timeout(SOON, self.facts.recv()).await.unwrap().unwrap()
    }

    /// Reloads with `text`; what was told.
    async fn reload(&mut self, text: &str) -> Vec<PluginFact> {
        let prepared = self.plugins.prepare(&self.config(text)).await;
        assert!(self.facts.try_recv().is_err(), "nothing is told before it holds");
        self.swap(prepared)
    }

    fn swap(&mut self, prepared: Prepared) -> Vec<PluginFact> {
        self.plugins.swap(prepared);
        std::iter::from_fn(|| self.facts.try_recv().ok()).collect()
    }

    async fn check(&self, service: &str) -> CheckReply {
        self.check_of(service, 0).await
    }

    async fn check_of(&self, service: &str, index: u32) -> CheckReply {
        let question = CheckQuestion {
            about: about(service, index),
            slot: Slot::Health("p".into()),
            sequence: 1,
            timeout: Duration::from_secs(5),
        };
        self.plugins.check(question).await
    }

    fn status(&self) -> PluginStatus {
        let mut all = self.plugins.status();
        assert_eq!(all.len(), 1);
        all.remove(0)
    }

    /// What checks measured last, as instance and value.
    fn samples(&self) -> Vec<(String, f64)> {
        let all = self.plugins.samples().all();
        let each = all.into_iter().flat_map(|(who, samples)| {
            samples.into_iter().map(move |sample| (who.instance.to_string(), sample.value))
        });
        each.collect()
    }
}

fn loaded(path: &Path, text: &str) -> Loaded {
    let text = format!("kennel: {{ state_dir: ./state, socket: ./socket }}\n{text}");
    config::load_str(path, &text, &Environment::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn about(service: &str, index: u32) -> About {
    About {
        service: service.into(),
        index,
        instance: format!("{service}/{index}").into(),
        pid: i32::try_from(std::process::id()).ok(),
        uptime: Duration::from_secs(7),
        restarts: 0,
        labels: Vec::new(),
    }
}

/// A service that is checked by the plugin "p" of the file p.wasm.
fn checked(config: &str) -> String {
    format!(
        "plugins:\n  p: {{ source: ./p.wasm }}\nservices:\n  \
         web: {{ command: [sleep, '9'], health: {{ plugin: p, name: p, config: {config} }} }}\n"
    )
}

fn passed(reason: &str) -> CheckReply {
    CheckReply { outcome: CheckOutcome::Passed, reason: reason.to_owned(), next: None }
}

fn impossible(reason: &str) -> CheckReply {
    CheckReply { outcome: CheckOutcome::Impossible, reason: reason.to_owned(), next: None }
}

fn batch(count: u64) -> sink::Batch {
    let event = |sequence| sink::Event {
        sequence,
        at_unix_ms: 0,
        kind: "service.started".to_owned(),
        severity: kennel_wasm::model::Severity::Info,
        service: None,
        instance: None,
        message: String::new(),
        attributes: Vec::new(),
    };
    sink::Batch { events: (1..=count).map(event).collect(), dropped: 0, now_unix_ms: 0 }
}

/// The components of these tests.
fn counts(name: &str) -> Vec<u8> {
    guest::check(name, Does::Counts)
}
