//! The end of the supervisor, and the next start.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use super::{Rig, SOON, Scripted, all, sink, until};

#[tokio::test]
async fn at_the_end_sinks_are_given_the_last_events_without_waiting_for_more() {
    let rig = Rig::new();
    let scripted = Scripted::willing();
    let configs = [sink("audit", &[]), sink("some", &["service.*"])];
    let sinks = rig.start(&configs, &scripted);
    for _ in 0..250 {
        rig.append("service.stopped");
    }
    rig.append("supervisor.stopped");
    sinks.finish(SOON).await;
    assert_eq!(scripted.taken("audit"), (1..=251).collect::<Vec<u64>>());
    assert_eq!(scripted.taken("some").len(), 250);
    // And nothing twice at the next start.
    let sinks = rig.start(&configs, &scripted);
    rig.append("supervisor.started");
    until("the next comes", || scripted.taken("audit").last() == Some(&252)).await;
    sinks.finish(SOON).await;
    assert_eq!(scripted.taken("audit"), (1..=252).collect::<Vec<u64>>());
}

#[tokio::test]
async fn a_sink_that_failed_is_tried_again_while_there_is_time() {
    let rig = Rig::new();
    let tries = AtomicU64::new(0);
    let scripted = Scripted::new(move |_, batch| match tries.fetch_add(1, SeqCst) {
        0..3 => Err("down".to_owned()),
        _ => Ok(all(batch)),
    });
    let mut sinks = rig.open(&[sink("audit", &[])]);
    rig.append("supervisor.stopped");
    let deliver: Arc<Scripted> = Arc::clone(&scripted);
    sinks.start(deliver, None);
    sinks.finish(SOON).await;
    assert_eq!((scripted.taken("audit"), scripted.batches("audit")), (vec![1], 4));
}

#[tokio::test]
async fn a_sink_that_hangs_or_fails_holds_up_the_end_no_longer_than_allowed() {
    let rig = Rig::new();
    let scripted = Scripted::slow(|sink, _| {
        let hangs = sink == "hangs";
        Box::pin(async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            Err("down".to_owned())
        })
    });
    let configs = [sink("hangs", &[]), sink("fails", &[])];
    let sinks = rig.start(&configs, &scripted);
    rig.append("supervisor.stopped");
    until("both are asked", || scripted.batches("hangs") > 0 && scripted.batches("fails") > 0)
        .await;
    let begun = Instant::now();
    sinks.finish(Duration::from_millis(300)).await;
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    // What they did not take comes at the next start.
    let willing = Scripted::willing();
    let _sinks = rig.start(&configs, &willing);
    until("it comes", || willing.taken("hangs") == [1] && willing.taken("fails") == [1]).await;
}

#[tokio::test]
async fn a_cursor_that_cannot_be_written_holds_up_no_event() {
    let rig = Rig::new();
    // A file where the directory would be: root may write everywhere.
    std::fs::write(rig.cursors(), "in the way").unwrap();
    let scripted = Scripted::willing();
    let sinks = rig.start(&[sink("audit", &[])], &scripted);
    for _ in 0..300 {
        rig.append("service.started");
    }
    until("all are taken", || scripted.taken("audit").len() == 300).await;
    sinks.finish(SOON).await;
}
