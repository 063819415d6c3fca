//! A supervisor that is killed: nothing is missing, whatever was on its way.
//!
//! A kill is a set of tasks that end at any point, and a journal that has or has not
//! written its last records. The kill of a whole process stands in the end-to-end tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;

use kennel_wasm::model::sink::Delivery;

use super::{Rig, SOON, Scripted, all, append, files, missing, sink, until};
use crate::journal::{Journal, JournalOptions};
use crate::sinks::cursor::{Cursor, CursorFile};

/// A generator of numbers that look random, from a seed that a failure shows.
fn random(state: &AtomicU64) -> u64 {
    let next = state.load(SeqCst).wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
    state.store(next, SeqCst);
    next >> 33
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_events_none_is_missing_after_kills_and_random_failures() {
    const EVENTS: u64 = 20_000;
    let rig = Rig::new();
    let seed = Arc::new(AtomicU64::new(4711));
    let dice = Arc::clone(&seed);
    let scripted = Scripted::new(move |_, batch| match random(&dice) % 10 {
        0 => Err("the plugin trapped".to_owned()),
        1 => Ok(Delivery::RetryAfter(Duration::from_millis(1))),
        2 => Ok(Delivery::Taken(u32::try_from(batch.events.len() / 3).unwrap())),
        _ => Ok(all(batch)),
    });
    let configs = [sink("audit", &["wanted.*"])];
    let mut sinks = rig.start(&configs, &scripted);
    for part in 0..5u64 {
        for number in 0..EVENTS / 5 {
            rig.append(if number % 4 == 3 { "other.one" } else { "wanted.one" });
        }
        let enough = usize::try_from((part + 1) * EVENTS / 10).unwrap();
        until("some are taken", || scripted.taken("audit").len() >= enough).await;
        // As a kill: the tasks end wherever they are, and the cursor is what is on disk.
        drop(sinks);
        sinks = rig.start(&configs, &scripted);
    }
    until("it has caught up", || sinks.states().all()[0].behind == 0).await;
    sinks.finish(SOON).await;
    let taken = scripted.taken("audit");
    let lost = missing(&taken, 1, EVENTS).into_iter().filter(|number| number % 4 != 0).count();
    assert_eq!(lost, 0);
    assert!(taken.iter().all(|number| number % 4 != 0), "others were not wanted");
}

#[test]
fn numbers_that_are_given_again_are_no_events_that_were_taken() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("journal");
    let open = || Journal::open(&place, JournalOptions::default()).unwrap();
    let journal = open();
    for _ in 0..5 {
        append(&journal, "x.y");
    }
    assert!(journal.close(SOON));
    // Three more were delivered, and the kill came before the journal had written them.
    let file = CursorFile::new(dir.path(), "audit");
    let gone = Cursor { next: 9, last: Some((8, jiff::Timestamp::now())), dropped: 2 };
    file.write(&gone).unwrap();
    let resumed = Cursor { next: 6, last: None, dropped: 2 };
    assert_eq!(file.resume(&open()), (resumed, None));
    // It stays so when the next kill comes before anything was delivered.
    let journal = open();
    for _ in 0..10 {
        append(&journal, "x.z");
    }
    assert!(journal.close(SOON));
    assert_eq!(file.resume(&open()), (resumed, None));
    // Were the first of these writes lost, the times would tell.
    file.write(&gone).unwrap();
    let (cursor, lost) = file.resume(&open());
    assert_eq!((cursor, lost.as_deref()), (Cursor::from(1), Some("the journal is another one")));
}

#[tokio::test]
async fn a_cursor_that_cannot_be_read_gives_everything_again_and_is_told() {
    let rig = Rig::new();
    let scripted = Scripted::willing();
    let configs = [sink("audit", &["x.*", "sink.*"])];
    let sinks = rig.start(&configs, &scripted);
    rig.append("x.y");
    rig.append("x.z");
    until("both are taken", || scripted.taken("audit") == [1, 2]).await;
    sinks.finish(SOON).await;
    assert_eq!(files(&rig.cursors()), ["audit.cursor"]);
    std::fs::write(rig.cursors().join("audit.cursor"), "kennel sink cursor 1\nnext 7\n").unwrap();
    let again = Scripted::willing();
    let sinks = rig.start(&configs, &again);
    until("both come again", || again.taken("audit") == [1, 2]).await;
    sinks.finish(SOON).await;
    let told = &rig.journal.read(3, 1).unwrap().records[0];
    assert_eq!(told.kind, "sink.cursor_lost");
    assert_eq!(
        told.message,
        "how far sink audit had come is not known (it is damaged); it is given all that is kept"
    );
}
