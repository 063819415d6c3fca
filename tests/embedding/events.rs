//! Events as a stream.

use kennel::Seen;

use crate::support::{eventually, sleeper, soon, supervisor};

#[tokio::test]
async fn a_subscriber_sees_each_event_once_in_order_until_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = supervisor(dir.path()).service(sleeper("web")).launch().await.unwrap();
    let mut events = supervisor.subscribe();
    supervisor.handle().until_up("web").await.unwrap();
    supervisor.handle().restart("web").await.unwrap();
    supervisor.shutdown().await.unwrap();
    let mut seen = Vec::new();
    while let Some(next) = soon("an event", events.next()).await {
        match next {
            Seen::Event(record) => seen.push(record),
            Seen::Missed(count) => panic!("{count} were missed"),
        }
    }
    assert!(seen.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq));
    let kinds: Vec<&str> = seen.iter().map(|record| &*record.kind).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "service.ready").count(), 2, "{kinds:?}");
    assert_eq!(kinds.last(), Some(&"supervisor.stopped"));
    assert_eq!(soon("nothing", events.next()).await, None);
}

#[tokio::test]
async fn a_subscriber_that_was_too_slow_is_told_how_much_it_missed() {
    let dir = tempfile::tempdir().unwrap();
    let supervisor = supervisor(dir.path()).service(sleeper("web")).start().await.unwrap();
    let mut events = supervisor.subscribe();
    let journal = supervisor.handle().journal();
    let first = journal.last_seq() + 1;
    let kept = kennel::journal::JournalOptions::default().recent as u64;
    for number in 0..kept + 500 {
        journal.append(kennel::journal::NewRecord {
            kind: "test.event".into(),
            message: number.to_string(),
            ..Default::default()
        });
    }
    let (mut missed, mut next) = (0, first);
    let last = journal.last_seq();
    // What waits to be written is in memory too.
    eventually("the writing of all", async || {
        let segments = std::fs::read_dir(dir.path().join("state/journal")).unwrap().flatten();
        let lines =
            segments.map(|entry| std::fs::read_to_string(entry.path()).unwrap().lines().count());
        (lines.sum::<usize>() as u64 >= last).then_some(())
    })
    .await;
    while next <= last {
        match soon("an event", events.next()).await.unwrap() {
            Seen::Missed(count) => {
                missed += count;
                next += count;
            }
            Seen::Event(record) => {
                assert_eq!(record.seq, next);
                next += 1;
            }
        }
    }
    // The supervisor itself may have had something to say.
    assert!((500..600).contains(&missed), "{missed} were missed, not 500");
    supervisor.shutdown().await.unwrap();
}
