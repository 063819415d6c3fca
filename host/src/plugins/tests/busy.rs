//! More questions than a plugin can have open: nobody waits, and the built-in answer holds.

use std::sync::Arc;

use kennel_core::PolicyAnswer;
use serde_json::Map;
use tokio::task::JoinSet;

use super::asking::policy_question;
use super::*;
use crate::journal::{Journal, JournalOptions, NewRecord};
use crate::plugins::PolicyReply;
use crate::sinks::{self, Sinks};

/// So many questions to one plugin may be open: 64 under way, 1,024 in the queue.
const OPEN_MAX: usize = 64 + 1024;

const TOO_MANY: &str = "too many calls wait for the plugin";
const BUSY: &str = "plugin p: too many calls wait for the plugin";

/// A plugin that no limit stops for as long as a test takes.
const PLUGINS: &str = "plugins: { p: { source: ./p.wasm, limits: { time: 2m, cpu: 2m } } }\n";

/// Asks until there are too many: the first answer of all, which is that of the last.
async fn overfill<T, F>(open: &mut JoinSet<T>, ask: impl Fn() -> F) -> T
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    for _ in 0..=OPEN_MAX {
        open.spawn(ask());
    }
    tokio::time::timeout(SOON, open.join_next()).await.unwrap().unwrap().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_busy_plugin_is_skipped_at_once_and_counted() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::check("x", Does::Loops));
    fixture.start(&format!("{PLUGINS}{}", web("health: { plugin: p, name: p }")), 1).await;
    let mut open = JoinSet::new();
    let question = || CheckQuestion {
        about: about("web", 0),
        slot: Slot::Health("p".into()),
        sequence: 1,
        timeout: 2 * SOON,
    };
    let first = overfill(&mut open, || fixture.plugins.check(question())).await;
    assert_eq!(first, impossible(TOO_MANY));
    let status = fixture.status();
    assert_eq!((status.skipped, status.faults), (1, 0), "the plugin is not to blame");
    assert_eq!(open.len(), OPEN_MAX, "the others wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_busy_leaves_the_decision_to_the_built_in_one() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::endless_policy());
    let text = web("restart: { policy_plugin: { plugin: p } }");
    fixture.start(&format!("{PLUGINS}{text}"), 1).await;
    let mut open = JoinSet::new();
    let first = overfill(&mut open, || fixture.plugins.decide(policy_question())).await;
    assert_eq!(first, PolicyReply { answer: PolicyAnswer::Default, reason: BUSY.to_owned() });
    assert_eq!((fixture.status().skipped, open.len()), (1, OPEN_MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn events_for_a_busy_sink_stay_in_the_journal_until_it_takes_them() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::endless_sink());
    let text = format!("{PLUGINS}sinks: [{{ plugin: p, name: s }}]\n{}", web("enabled: true"));
    fixture.start(&text, 1).await;
    let mut open = JoinSet::new();
    let first = overfill(&mut open, || fixture.plugins.deliver("s".into(), batch(2))).await;
    assert_eq!(first, Err(BUSY.to_owned()));

    let journal = Journal::open(&fixture.path("journal"), JournalOptions::default()).unwrap();
    let sinks = fixture.config(&text).sinks;
    let mut sinks = Sinks::open(sinks::dir_in(fixture.dir.path()), journal.clone(), &sinks);
    sinks.start(Arc::new(fixture.plugins.clone()), None);
    journal.append(NewRecord {
        kind: "service.started".to_owned(),
        service: Some("web".to_owned()),
        message: String::new(),
        attributes: Map::new(),
    });
    let status = || sinks.states().all().remove(0);
    until(|| status().failures > 0).await;
    let refused = status();
    assert_eq!((refused.taken, refused.behind), (0, 1), "{refused:?}");
    assert_eq!(refused.error.as_deref(), Some(BUSY));
    drop(open);
    until(|| status().taken == 1 && status().behind == 0).await;
}

fn web(keys: &str) -> String {
    format!("services: {{ web: {{ command: [sleep, '9'], {keys} }} }}\n")
}

async fn until(done: impl Fn() -> bool) {
    let waiting = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, waiting).await.unwrap();
}
