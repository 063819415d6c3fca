//! Plugins written as text, a host that answers as it is told, and short ways to ask.

pub(crate) mod guest;
pub(crate) mod host;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use kennel_wasm::model::{Target, check, policy, sink};
use kennel_wasm::{
    Binding, CallLimits, Fault, Grants, LoadError, Plugin, PluginOptions, Runtime, Settings,
    Subject,
};

pub(crate) use guest::Guest;
pub(crate) use host::TestHost;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// What a test needs.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) host: Arc<TestHost>,
    pub(crate) limits: CallLimits,
    pub(crate) grants: Grants,
}

impl World {
    /// One thread for plugins, and limits that no honest call comes near.
    pub(crate) fn new() -> Self {
        Self::with(Settings { workers: 1, ..Settings::default() })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        Self {
            runtime: Runtime::new(settings).expect("a runtime"),
            host: Arc::default(),
            limits: CallLimits { time: LONG, cpu: LONG, memory: 8 << 20 },
            grants: Grants::default(),
        }
    }

    pub(crate) fn options(&self) -> PluginOptions {
        PluginOptions {
            sha256: None,
            grants: Arc::new(self.grants.clone()),
            limits: self.limits,
            host: Arc::clone(&self.host) as _,
            observer: Arc::clone(&self.host) as _,
        }
    }

    pub(crate) async fn try_load(&self, bytes: Vec<u8>) -> Result<Plugin, LoadError> {
        self.runtime.load("test".into(), bytes.into(), self.options()).await
    }

    pub(crate) async fn load(&self, guest: &Guest) -> Plugin {
        self.try_load(guest.build()).await.expect("loads")
    }

    /// A guest, bound as what it is.
    pub(crate) async fn bind(&self, guest: &Guest) -> Binding {
        let plugin = self.load(guest).await;
        plugin.bind(guest.kind, "{}").expect("binds")
    }
}

/// Traps at the thirteenth check, and counts its calls: the digit is the reason.
pub(crate) fn counting(at_thirteen: &str) -> Guest {
    Guest::check(&format!(
        "(if (i64.eq (i64.load offset=88 (local.get $input)) (i64.const 13))
           (then {at_thirteen}))
         (local.set $i (call $verdict (i32.const 0)))
         (call $reason (i32.add (i32.const 512) (global.get $calls)) (i32.const 1))
         (local.get $i)"
    ))
    .items("(data (i32.const 512) \"0123456789\")")
}

pub(crate) fn subject() -> Subject {
    Subject { service: "web".into(), instance: 0 }
}

pub(crate) fn target() -> Target {
    Target {
        service: "web".into(),
        instance: 0,
        pid: Some(7),
        uptime: Duration::from_secs(1),
        restarts: 0,
        usage: None,
        labels: vec![("tier".into(), "front".into())],
    }
}

pub(crate) fn input() -> check::Input {
    check::Input { target: target(), now_unix_ms: 1_700_000_000_123, sequence: 1, state: None }
}

pub(crate) fn question() -> policy::Input {
    policy::Input {
        target: target(),
        now_unix_ms: 1_700_000_000_123,
        cause: policy::Cause {
            kind: "exit".into(),
            exit_code: Some(3),
            signal: None,
            detail: "exited with code 3".into(),
        },
        history: Vec::new(),
        restarts_in_window: 1,
        default_action: policy::Action::RestartAfter(Duration::from_secs(1)),
        state: None,
    }
}

pub(crate) fn batch(events: u64) -> sink::Batch {
    let event = |sequence| sink::Event {
        sequence,
        at_unix_ms: 1,
        kind: "service.exited".into(),
        severity: kennel_wasm::model::Severity::Info,
        service: Some("web".into()),
        instance: None,
        message: "web exited".into(),
        attributes: Vec::new(),
    };
    sink::Batch { events: (1..=events).map(event).collect(), dropped: 0, now_unix_ms: 1 }
}

/// Asks a check.
pub(crate) async fn check(binding: &Binding) -> Result<Result<check::Verdict, String>, Fault> {
    bounded(binding.check(subject(), input(), LONG)).await
}

/// Asks a check that answers.
pub(crate) async fn verdict(binding: &Binding) -> check::Verdict {
    check(binding).await.expect("no fault").expect("a verdict")
}

/// Asks a check that does not: the fault.
pub(crate) async fn fault(binding: &Binding) -> Fault {
    check(binding).await.expect_err("a fault")
}

pub(crate) async fn decide(binding: &Binding) -> policy::Decision {
    let decided = bounded(binding.decide(subject(), question())).await;
    decided.expect("no fault").expect("a decision")
}

/// Waits, but not for ever.
pub(crate) async fn bounded<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LONG, work).await.expect("done in time")
}

/// Waits until something is so.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(LONG, waiting).await.unwrap_or_else(|_| panic!("in time: {what}"));
}
