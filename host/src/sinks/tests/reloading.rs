//! Sinks that come, change and go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

use kennel_wasm::model::sink::Delivery;

use super::{Rig, Scripted, all, files, sink, until};

#[tokio::test]
async fn a_new_sink_begins_with_what_happens_from_now_on() {
    let rig = Rig::new();
    rig.append("before.it");
    let scripted = Scripted::willing();
    let mut sinks = rig.start(&[sink("first", &[])], &scripted);
    rig.append("service.started");
    until("the first has it", || scripted.taken("first") == [2]).await;
    sinks.configure(&[sink("first", &[]), sink("second", &[])]);
    rig.append("config.reloaded");
    until("both have it", || scripted.taken("first") == [2, 3] && scripted.taken("second") == [3])
        .await;
}

#[tokio::test]
async fn a_sink_that_changes_goes_on_where_it_is_and_is_tried_at_once() {
    let rig = Rig::new();
    let works = Arc::new(AtomicBool::new(false));
    let now = Arc::clone(&works);
    let scripted = Scripted::new(move |_, batch| match now.load(SeqCst) {
        true => Ok(all(batch)),
        // Far longer than the test waits.
        false => Ok(Delivery::RetryAfter(Duration::from_secs(300))),
    });
    let mut sinks = rig.start(&[sink("audit", &["a.*"])], &scripted);
    rig.append("a.one");
    rig.append("b.one");
    until("it was tried", || scripted.batches("audit") == 1).await;
    works.store(true, SeqCst);
    sinks.configure(&[sink("audit", &["a.*", "b.*"])]);
    until("it is tried again", || scripted.taken("audit") == [1, 2]).await;
    rig.append("b.two");
    until("it goes on", || scripted.taken("audit") == [1, 2, 3]).await;
}

#[tokio::test]
async fn a_sink_that_is_taken_out_is_forgotten_even_while_it_is_asked() {
    let rig = Rig::new();
    let scripted = Scripted::slow(|sink, batch| {
        let (hangs, answer) = (sink == "gone", Ok(all(batch)));
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            answer
        })
    });
    let both = [sink("gone", &[]), sink("stays", &[])];
    let mut sinks = rig.start(&both, &scripted);
    rig.append("x.y");
    until("it is asked", || scripted.batches("gone") == 1).await;
    sinks.configure(&both[1..]);
    until("its cursor is away", || files(&rig.cursors()) == ["stays.cursor"]).await;
    assert_eq!(sinks.states().all().len(), 1);
    // It comes back as a new one, while the other one was not disturbed.
    sinks.configure(&both);
    rig.append("x.z");
    until("it is asked anew", || scripted.batches("gone") == 2).await;
    scripted.read(|given| {
        let last = given.iter().rev().find(|given| given.sink == "gone").unwrap();
        assert_eq!(last.batch.events[0].sequence, 2);
    });
    until("the other has both", || scripted.taken("stays") == [1, 2]).await;
    until("both are remembered", || files(&rig.cursors()).len() == 2).await;
}

#[tokio::test]
async fn a_sink_that_was_taken_out_while_nothing_ran_is_forgotten() {
    let rig = Rig::new();
    let scripted = Scripted::willing();
    let both = [sink("a", &[]), sink("b", &[])];
    rig.start(&both, &scripted).finish(Duration::from_secs(5)).await;
    assert_eq!(files(&rig.cursors()), ["a.cursor", "b.cursor"]);
    let _sinks = rig.open(&both[..1]);
    assert_eq!(files(&rig.cursors()), ["a.cursor"]);
}
