//! Another configuration, or another file under the same.

use super::*;
use crate::plugins::PluginState;
use crate::plugins::fact::Then;

fn refusal(facts: &[PluginFact]) -> (&str, Then) {
    match facts {
        [PluginFact::Rejected { reason, then, .. }] => (reason, *then),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_file_takes_over_with_what_the_one_before_remembered() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("one"));
    fixture.start(&checked("{}"), 1).await;
    assert_eq!(fixture.check("web").await, passed("one"));
    assert_eq!(fixture.reload(&checked("{}")).await, [], "nothing has changed");
    assert_eq!(fixture.status().calls, 1, "it was not loaded anew");

    fixture.write("p.wasm", &counts("two"));
    assert_eq!(fixture.check("web").await, passed("one"), "only a reload looks at it");
    let facts = fixture.reload(&checked("{}")).await;
    assert!(matches!(&facts[..], [PluginFact::Loaded { is_replacement: true, .. }]), "{facts:?}");
    assert_eq!(fixture.check("web").await, passed("two"));
    // The trial before it was let near a service is not remembered.
    assert_eq!(fixture.samples(), [("web/0".to_owned(), 3.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_before_goes_on_when_the_new_one_is_no_good() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("one"));
    fixture.start(&checked("{}"), 1).await;
    let whole = counts("two");
    let bad: [(&str, Vec<u8>); 5] = [
        ("no component", b"no component".to_vec()),
        ("cut off", whole[..whole.len() / 2].to_vec()),
        ("of another kind", guest::sink()),
        ("fails when asked", guest::check("two", Does::Traps)),
        ("empty", Vec::new()),
    ];
    for (what, bytes) in bad {
        fixture.write("p.wasm", &bytes);
        let prepared = fixture.plugins.prepare(&fixture.config(&checked("{}"))).await;
        assert_eq!(prepared.refusals().len(), 1, "{what}");
        fixture.plugins.swap(prepared);
        let told = fixture.fact().await;
        let (_, then) = refusal(std::slice::from_ref(&told));
        assert_eq!(then, Then::OldGoesOn, "{what}");
        assert_eq!(fixture.check("web").await, passed("one"), "{what}");
        let status = fixture.status();
        assert_eq!(status.state, PluginState::Ready, "{what}");
        assert!(status.reason.starts_with("what is configured now was refused: "), "{what}");
    }
    std::fs::remove_file(fixture.path("p.wasm")).unwrap();
    let facts = fixture.reload(&checked("{}")).await;
    assert!(refusal(&facts).0.contains("no such file"), "{facts:?}");
    assert_eq!(fixture.check("web").await, passed("one"));
    fixture.write("p.wasm", &whole);
    assert_eq!(fixture.reload(&checked("{}")).await.len(), 1);
    assert_eq!(fixture.check("web").await, passed("two"));
    assert_eq!(fixture.status().reason, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_the_plugin_refuses_leaves_the_one_before() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("one"));
    fixture.start(&checked("{}"), 1).await;
    let facts = fixture.reload(&checked("{ bad: 1 }")).await;
    assert_eq!(
        refusal(&facts),
        ("it refuses its configuration: bad: is not known (web health p)", Then::OldGoesOn)
    );
    assert_eq!(fixture.check("web").await, passed("one"));
    let of = fixture.status().uses.remove(0);
    assert_eq!(of.error.as_deref(), Some("it refuses its configuration: bad: is not known"));

    // Without one before, the check cannot be made; the service is another matter.
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("one"));
    let facts = fixture.start(&checked("{ bad: 1 }"), 2).await;
    assert!(matches!(&facts[0], PluginFact::Loaded { .. }), "{facts:?}");
    assert_eq!(refusal(&facts[1..]).1, Then::Without);
    let reply = fixture.check("web").await;
    assert_eq!(
        reply,
        impossible("the plugin was refused: it refuses its configuration: bad: is not known")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn plugins_come_and_go() {
    let mut fixture = Fixture::new();
    let bare = "services: { web: { command: [sleep, '9'] } }";
    fixture.start(bare, 0).await;
    fixture.write("p.wasm", &counts("ok"));
    let facts = fixture.reload(&checked("{}")).await;
    assert!(matches!(&facts[..], [PluginFact::Loaded { is_replacement: false, .. }]), "{facts:?}");
    assert_eq!(fixture.check("web").await, passed("ok"));
    assert_eq!(fixture.reload(bare).await, []);
    assert_eq!(fixture.plugins.status(), []);
    assert_eq!(fixture.samples(), []);
    assert_eq!(fixture.check("web").await.outcome, CheckOutcome::Impossible);
    // What it remembered was forgotten with it.
    fixture.reload(&checked("{}")).await;
    fixture.check("web").await;
    assert_eq!(fixture.samples(), [("web/0".to_owned(), 1.0)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_during_the_first_load_is_what_counts() {
    let mut fixture = Fixture::new();
    fixture.write("p.wasm", &counts("ok"));
    fixture.plugins.start(&fixture.config(&checked("{}")));
    let changed = checked("{ other: 1 }");
    let prepared = fixture.plugins.prepare(&fixture.config(&changed)).await;
    fixture.plugins.swap(prepared);
    assert_eq!(fixture.check("web").await, passed("ok"));
    let wanted = super::super::uses::uses(&fixture.config(&changed)).remove(0).wanted;
    let bindings = |fixture: &Fixture| {
        let table = fixture.plugins.shared.table();
        let ready = table.plugins.values().next().unwrap().ready().unwrap();
        ready.bindings.keys().map(|wanted| wanted.config.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(bindings(&fixture), [wanted.config.to_string()]);
    fixture.fact().await;
}
