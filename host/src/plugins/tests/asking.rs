//! Questions and their answers.

use kennel_core::spec::Advice;
use kennel_core::{
    Core, ExitStatus, Graph, Group, Input, Limits, PolicyAnswer, RunId, ServiceSpec, Time,
};
use kennel_wasm::limits::RESTART_WAIT_MAX;
use kennel_wasm::model::{policy, sink};

use super::*;
use crate::plugins::{PluginState, PolicyQuestion, PolicyReply, Requirer};

#[tokio::test(flavor = "multi_thread")]
async fn without_plugins_there_is_neither_a_runtime_nor_a_file() {
    let mut fixture = Fixture::new();
    let text = "services: { web: { command: [sleep, '9'] } }";
    fixture.start(text, 0).await;
    assert_eq!(fixture.reload(text).await, []);
    assert!(!fixture.path("state").exists());
    assert!(fixture.plugins.required(Requirer::Service("web".into())).is_none());
    let reply = fixture.check("web").await;
    assert_eq!(reply, impossible("no plugin is bound to web health p"));
    assert!(fixture.plugins.close(Duration::ZERO));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_is_answered_once_its_plugin_is_loaded_and_never_waits_for_that() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("all is well"));
    let config = fixture.config(&checked("{}"));
    fixture.plugins.start(&config);
    // Compiling takes longer than this.
    assert_eq!(fixture.check("web").await, impossible("the plugin is still being loaded"));
    assert_eq!(fixture.status().state, PluginState::Loading);
    let fact = fixture.fact().await;
    assert!(matches!(&fact, PluginFact::Loaded { is_replacement: false, .. }), "{fact:?}");
    assert_eq!(fixture.check("web").await, passed("all is well"));
    let status = fixture.status();
    assert_eq!((status.state, status.calls, status.faults), (PluginState::Ready, 1, 0));
    assert_eq!(status.uses[0].by, "web health p");
    assert_eq!(status.source, fixture.path("p.wasm").display().to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plugin_remembers_is_its_own_for_each_instance_and_outlives_the_supervisor() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("ok"));
    let text = checked("{}").replace("sleep, '9']", "sleep, '9'], replicas: 2");
    fixture.start(&text, 1).await;
    for _ in 0..3 {
        fixture.check_of("web", 0).await;
    }
    fixture.check_of("web", 1).await;
    let samples = [("web/0".to_owned(), 3.0), ("web/1".to_owned(), 1.0)];
    assert_eq!(fixture.samples(), samples);

    let mut fixture = fixture.again();
    fixture.start(&text, 1).await;
    assert_eq!(fixture.samples(), []);
    fixture.check_of("web", 0).await;
    assert_eq!(fixture.samples(), [("web/0".to_owned(), 4.0)]);

    // A replica that is gone is forgotten with what it remembered.
    fixture.check_of("web", 1).await;
    fixture.reload(&text.replace("replicas: 2", "replicas: 1")).await;
    fixture.reload(&text).await;
    fixture.check_of("web", 1).await;
    assert_eq!(fixture.samples().last(), Some(&("web/1".to_owned(), 1.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_fails_is_told_of_and_rests_and_the_check_is_unknown() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::check("x", Does::Traps));
    fixture.start(&checked("{}"), 1).await;
    for _ in 0..5 {
        let reply = fixture.check("web").await;
        assert_eq!(reply.outcome, CheckOutcome::Impossible);
        // The check bears the name of the plugin, and people read that before it.
        assert!(reply.reason.starts_with("the plugin "), "{reply:?}");
    }
    let fault = fixture.fact().await;
    let PluginFact::Faulted { service, word, untold, .. } = &fault else { panic!("{fault:?}") };
    assert_eq!((service.as_deref(), *word, *untold), (Some("web/0"), "trap", 0));
    let disabled = fixture.fact().await;
    assert!(matches!(&disabled, PluginFact::Disabled { .. }), "{disabled:?}");
    // The second and third fault were counted, not told.
    assert!(fixture.facts.try_recv().is_err());
    let status = fixture.status();
    assert_eq!((status.state, status.faults), (PluginState::Disabled, 3));
    assert!(status.skipped >= 2, "{status:?}");
    assert_eq!(status.last_fault.map(|fault| fault.word), Some("trap"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_says_it_cannot_be_made_is_unknown_and_no_fault() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::check("no route", Does::Refuses));
    fixture.start(&checked("{}"), 1).await;
    assert_eq!(fixture.check("web").await, impossible("no route"));
    assert!(fixture.facts.try_recv().is_err());

    // Under another name than that of its plugin, both are said.
    fixture.reload(&checked("{}").replace("name: p", "name: link")).await;
    let question = CheckQuestion {
        about: about("web", 0),
        slot: Slot::Health("link".into()),
        sequence: 1,
        timeout: Duration::from_secs(5),
    };
    assert_eq!(fixture.plugins.check(question).await, impossible("plugin p: no route"));
}

pub(super) fn policy_question() -> PolicyQuestion {
    PolicyQuestion {
        about: about("web", 0),
        cause: policy::Cause {
            kind: "exit".to_owned(),
            exit_code: Some(3),
            signal: None,
            detail: String::new(),
        },
        history: Vec::new(),
        restarts_in_window: 1,
        default_delay: Duration::from_secs(1),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_chooses_the_wait_and_gives_up_only_where_that_is_granted() {
    let reply = |answer, reason: &str| PolicyReply { answer, reason: reason.to_owned() };
    let text = |grants: &str| {
        format!(
            "plugins:\n  p: {{ source: ./p.wasm, grants: {{ {grants} }} }}\nservices:\n  \
             web: {{ command: [sleep, '9'], restart: {{ policy_plugin: {{ plugin: p }} }} }}\n"
        )
    };
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::policy(false));
    fixture.start(&text(""), 1).await;
    let wait = PolicyAnswer::RestartAfter(Duration::from_secs(7));
    assert_eq!(fixture.plugins.decide(policy_question()).await, reply(wait, "enough"));

    fixture.write("p.wasm", &guest::policy(true));
    let prepared = fixture.plugins.prepare(&fixture.config(&text(""))).await;
    // It tried already when it was asked once, to see whether it works.
    let denied = fixture.fact().await;
    assert!(matches!(&denied, PluginFact::Denied { .. }), "{denied:?}");
    fixture.swap(prepared);
    let decided = fixture.plugins.decide(policy_question()).await;
    assert_eq!(decided.answer, PolicyAnswer::Default);
    assert!(denied.message().contains("give_up: true"), "{}", denied.message());

    fixture.reload(&text("give_up: true")).await;
    let decided = fixture.plugins.decide(policy_question()).await;
    assert_eq!(decided, reply(PolicyAnswer::GiveUp, "enough"));
}

#[test]
fn the_plugin_runtime_and_the_core_put_a_restart_off_for_the_same_time_at_most() {
    let mut web = ServiceSpec::daemon("web");
    web.restart.advice = Advice::Ask;
    let graph = Graph::new(vec![web]).expect("one service");
    for (wait, expected) in [
        (RESTART_WAIT_MAX, RESTART_WAIT_MAX),
        (RESTART_WAIT_MAX - Duration::from_secs(1), RESTART_WAIT_MAX - Duration::from_secs(1)),
        (RESTART_WAIT_MAX + Duration::from_secs(1), RESTART_WAIT_MAX),
    ] {
        let mut core = Core::new(Limits::default(), 1, RunId(1));
        core.handle(Time::ZERO, Input::Configure { graph: graph.clone(), restart: Vec::new() });
        let (run, status, group) = (RunId(1), ExitStatus::Code(1), Group::Empty);
        core.handle(Time::ZERO, Input::Exited { run, status, group });
        let instance = core.view().instances().next().expect("one instance").id();
        let (answer, reason) = (PolicyAnswer::RestartAfter(wait), String::new());
        core.handle(Time::ZERO, Input::PolicyDecided { instance, run, answer, reason });
        let next = core.view().instance(instance).and_then(|view| view.next_restart());
        assert_eq!(next, Some(Time::ZERO + expected));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_takes_events_by_its_name() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &guest::sink());
    let text = "plugins: { p: { source: ./p.wasm } }\nsinks: [{ plugin: p, name: s }]\n\
                services: { web: { command: [sleep, '9'] } }\n";
    fixture.start(text, 1).await;
    let taken = fixture.plugins.deliver("s".into(), batch(3)).await;
    assert_eq!(taken, Ok(sink::Delivery::Taken(3)));
    assert!(fixture.plugins.deliver("other".into(), batch(3)).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_requires_a_plugin_waits_for_it_and_is_told_when_it_will_not_come() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("ok"));
    let required = checked("{}").replace("plugin: p,", "plugin: p, required: true,");
    let web = || Requirer::Service("web".into());
    fixture.plugins.start(&fixture.config(&required));
    let waiting = fixture.plugins.required(web()).expect("it is not loaded yet");
    assert_eq!(waiting.await, Ok(()));
    assert!(fixture.plugins.required(web()).is_none());
    assert!(fixture.plugins.required(Requirer::Service("other".into())).is_none());
    fixture.fact().await;

    let mut fixture = Fixture::new();
    fixture.write("p.wasm", b"no component");
    fixture.start(&required, 1).await;
    let refused = fixture.plugins.required(web()).expect("it is refused").await.unwrap_err();
    assert!(refused.starts_with("web health p requires plugin p: "), "{refused}");
    // Who does not require it starts without.
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", b"no component");
    fixture.start(&checked("{}"), 1).await;
    assert!(fixture.plugins.required(web()).is_none());
    assert_eq!(fixture.status().state, PluginState::Failed);
}
