//! Batches, waits, refusals, and what is told of them.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use kennel_wasm::model::Severity;
use kennel_wasm::model::sink::Delivery;

use super::{Rig, SOON, Scripted, all, kinds, missing, sink, until};
use crate::journal::JournalOptions;

#[tokio::test]
async fn events_come_in_order_in_batches_of_a_hundred_at_most() {
    let rig = Rig::new();
    let scripted = Scripted::willing();
    let sinks = rig.start(&[sink("audit", &[])], &scripted);
    for _ in 0..1050 {
        rig.append("service.started");
    }
    until("all are taken", || scripted.taken("audit").len() == 1050).await;
    let numbers = scripted.taken("audit");
    assert!(numbers.is_sorted());
    assert!(missing(&numbers, 1, 1050).is_empty());
    scripted.read(|given| {
        assert!(given.iter().all(|given| given.batch.events.len() <= 100));
        // Most were there before the first was given: they did not come one by one.
        assert!(given.len() <= 20, "{} batches", given.len());
        let event = &given[0].batch.events[0];
        assert_eq!((event.kind.as_str(), event.severity), ("service.started", Severity::Info));
        assert_eq!((event.service.as_deref(), event.instance), (Some("web"), Some(1)));
        assert_eq!(event.attributes, [("n".to_owned(), "1".to_owned())]);
    });
    let status = &sinks.states().all()[0];
    assert_eq!((status.taken, status.next, status.behind), (1050, 1051, 0));
}

#[tokio::test]
async fn an_event_alone_does_not_wait_for_long() {
    let rig = Rig::new();
    let scripted = Scripted::willing();
    let _sinks = rig.start(&[sink("audit", &[])], &scripted);
    let begun = Instant::now();
    rig.append("service.started");
    until("it is taken", || scripted.taken("audit") == [1]).await;
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    rig.append("service.ready");
    until("so is the next", || scripted.taken("audit") == [1, 2]).await;
}

#[tokio::test]
async fn a_sink_is_given_the_kinds_that_it_wants() {
    let rig = Rig::new();
    let scripted = Scripted::willing();
    let configs = [sink("some", &["service.failed", "health.*"]), sink("all", &[])];
    let _sinks = rig.start(&configs, &scripted);
    for kind in ["service.failed", "service.started", "health.changed", "config.reloaded"] {
        rig.append(kind);
    }
    until("all is taken", || scripted.taken("all") == [1, 2, 3, 4]).await;
    until("some is taken", || scripted.taken("some") == [1, 3]).await;
}

#[tokio::test]
async fn what_was_not_taken_comes_again_and_what_was_does_not() {
    let rig = Rig::new();
    let tries = AtomicU64::new(0);
    let scripted = Scripted::new(move |_, batch| match tries.fetch_add(1, SeqCst) {
        0 => Err("the plugin trapped".to_owned()),
        1 => Ok(Delivery::RetryAfter(Duration::from_millis(10))),
        2 => Ok(Delivery::Taken(0)),
        3 => Ok(Delivery::Taken(3)),
        // More than there were is all.
        4 => Ok(Delivery::Taken(4000)),
        _ => Ok(all(batch)),
    });
    for _ in 0..10 {
        rig.append("x.y");
    }
    let mut sinks = rig.open(&[sink("audit", &[])]);
    for _ in 0..10 {
        rig.append("x.y");
    }
    let deliver = std::sync::Arc::clone(&scripted);
    sinks.start(deliver, None);
    until("all are taken", || scripted.taken("audit").len() == 10).await;
    assert_eq!(scripted.taken("audit"), (11..=20).collect::<Vec<u64>>());
    let status = &sinks.states().all()[0];
    assert_eq!((status.failures, status.taken, status.error.as_deref()), (3, 10, None));
}

#[tokio::test]
async fn a_rejected_batch_is_passed_over_and_told_but_not_to_the_sink_itself() {
    let rig = Rig::new();
    let scripted = Scripted::new(|sink, batch| {
        let odd = batch.events.iter().any(|event| event.kind == "odd.one");
        match odd && sink == "audit" {
            true => Ok(Delivery::Rejected("no such channel".to_owned())),
            false => Ok(all(batch)),
        }
    });
    let sinks = rig.start(&[sink("audit", &[]), sink("other", &[])], &scripted);
    rig.append("odd.one");
    until("it is told", || kinds(&rig.journal) == ["odd.one", "sink.rejected"]).await;
    rig.append("even.one");
    until("the next is taken", || scripted.taken("audit") == [3]).await;
    until("the other was told", || scripted.taken("other") == [1, 2, 3]).await;
    let status = &sinks.states().all()[0];
    assert_eq!((status.rejected, status.taken), (1, 1));
    let told = &rig.journal.read(2, 1).unwrap().records[0];
    assert_eq!(told.message, "sink audit rejected 1 event: no such channel");
    assert_eq!(told.attributes["sink"], "audit");
}

#[tokio::test]
async fn sinks_that_reject_what_is_told_of_each_other_come_to_rest() {
    let rig = Rig::new();
    let scripted = Scripted::new(|_, _| Ok(Delivery::Rejected("never".to_owned())));
    let names = ["a", "b", "c"];
    let sinks = rig.start(&names.map(|name| sink(name, &[])), &scripted);
    rig.append("x.y");
    // Each tells once; what is rejected of that is counted until a minute has passed.
    until("each has seen all", || {
        rig.journal.last_seq() == 4 && sinks.states().all().iter().all(|status| status.behind == 0)
    })
    .await;
    for name in names {
        assert!(scripted.batches(name) <= 4, "{name} was given {} batches", scripted.batches(name));
    }
    sinks.finish(Duration::from_secs(5)).await;
    assert_eq!(rig.journal.last_seq(), 4);
}

#[tokio::test]
async fn events_that_the_journal_gave_up_are_told_as_dropped() {
    let (max_bytes, segment_bytes, recent) = (64 * 1024, 8 * 1024, 16);
    let rig =
        Rig::with(JournalOptions { max_bytes, segment_bytes, recent, ..JournalOptions::default() });
    let broken = Scripted::new(|_, _| Err("down".to_owned()));
    let configs = [sink("audit", &["wanted.*"])];
    let sinks = rig.start(&configs, &broken);
    for _ in 0..5000 {
        rig.append("wanted.one");
    }
    drop(sinks);
    assert!(rig.journal.close(SOON), "all is on disk, and what is too much is gone");
    let scripted = Scripted::willing();
    let sinks = rig.start(&configs, &scripted);
    until("it has caught up", || sinks.states().all()[0].behind == 0).await;
    let taken = scripted.taken("audit");
    let dropped = scripted.read(|given| given.iter().map(|given| given.batch.dropped).sum::<u64>());
    let first_dropped = scripted.read(|given| given[0].batch.dropped);
    assert!(first_dropped >= 1000, "{first_dropped} before the first");
    assert_eq!(taken.len() as u64 + dropped, 5000);
    assert_eq!(sinks.states().all()[0].dropped, dropped);
    assert!(missing(&taken, dropped + 1, 5000).is_empty());
}
