//! Events and logs as they come.

use super::*;
use crate::api::client::{EventQuery, LogQuery};
use crate::api::wire::{EventLine, Gap};

async fn seqs(client: &Client, query: EventQuery) -> Vec<u64> {
    let mut lines = client.events(&query).await.unwrap();
    let mut seqs = Vec::new();
    while let Some(line) = lines.next().await.unwrap() {
        match line {
            EventLine::Event(event) => seqs.push(event.seq),
            EventLine::Gap(gap) => panic!("{gap:?}"),
        }
    }
    seqs
}

#[tokio::test]
async fn events_are_chosen_by_number_service_and_kind() {
    let fixture = Fixture::start();
    for (kind, service) in [
        ("service.started", "web/0"),
        ("service.started", "worker"),
        ("service.ready", "web/1"),
        ("health.changed", "worker"),
        ("service.exited", "gone"),
    ] {
        fixture.happens(kind, service);
    }
    let all = EventQuery::default;
    let of = |name: &str| EventQuery { service: Some(name.to_owned()), ..all() };
    let client = &fixture.client;
    assert_eq!(seqs(client, all()).await, [1, 2, 3, 4, 5]);
    assert_eq!(seqs(client, EventQuery { since: Some(3), ..all() }).await, [4, 5]);
    assert_eq!(seqs(client, EventQuery { last: Some(2), ..all() }).await, [4, 5]);
    assert_eq!(seqs(client, EventQuery { last: Some(2), ..of("web") }).await, [1, 3]);
    assert_eq!(seqs(client, EventQuery { last: Some(0), ..all() }).await, [0_u64; 0]);
    assert_eq!(seqs(client, of("web/1")).await, [3]);
    assert_eq!(seqs(client, of("gone")).await, [5]);
    let kinds = vec!["health.*".to_owned(), "service.exited".to_owned()];
    assert_eq!(seqs(client, EventQuery { kinds, ..all() }).await, [4, 5]);
    let error = client.events(&of("wrker")).await.unwrap_err();
    assert_eq!(error.to_string(), "no service is named \"wrker\"");
}

#[tokio::test]
async fn a_follower_gets_what_happens_after_it_came() {
    let fixture = Fixture::start();
    fixture.happens("service.started", "web/0");
    let query = EventQuery { last: Some(0), follow: true, ..EventQuery::default() };
    let mut events = fixture.client.events(&query).await.unwrap();
    let seq = fixture.happens("service.ready", "web/0");
    let next = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap();
    assert!(matches!(next, Some(EventLine::Event(event)) if event.seq == seq));
    // What happened before the end is told before the stream ends.
    let last = fixture.happens("supervisor.stopping", "web/0");
    fixture.end.send_replace(Some(0));
    let next = tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap();
    assert!(matches!(next, Some(EventLine::Event(event)) if event.seq == last));
    assert_eq!(tokio::time::timeout(SOON, events.next()).await.unwrap().unwrap(), None);
}

#[tokio::test]
async fn a_browser_gets_server_sent_events_and_goes_on_after_the_last_one_it_saw() {
    let fixture = Fixture::start();
    fixture.happens("service.started", "web/0");
    fixture.happens("service.ready", "web/0");
    let answer = fixture
        .raw(
            "GET /v1/events?since=0&follow=false HTTP/1.1\r\nhost: x\r\nlast-event-id: 1\r\n\
             connection: close\r\n\r\n",
        )
        .await;
    assert!(answer.contains("content-type: text/event-stream\r\n"), "{answer}");
    assert!(answer.contains("id: 2\nevent: service.ready\ndata: {\"seq\":2,\"at\":\""), "{answer}");
    assert!(
        answer.contains(
            "\"kind\":\"service.ready\",\"service\":\"web/0\",\
             \"message\":\"service.ready of web/0\",\"attributes\":{}}\n\n"
        ),
        "{answer}"
    );
    assert!(!answer.contains("id: 1\n"), "{answer}");
}

#[tokio::test]
async fn a_gap_is_announced() {
    let small = JournalOptions {
        max_bytes: 20_000,
        segment_bytes: 10_000,
        recent: 10,
        ..JournalOptions::default()
    };
    let fixture = Fixture::with(Bounds::default(), small);
    for _ in 0..500 {
        fixture.happens("service.started", "web/0");
    }
    // Writing and pruning are its thread's work; this waits for both.
    let journal = fixture.journal.clone();
    assert!(tokio::task::spawn_blocking(move || journal.close(SOON)).await.unwrap());
    let query = EventQuery { since: Some(0), ..EventQuery::default() };
    let mut events = fixture.client.events(&query).await.unwrap();
    let Some(EventLine::Gap(Gap { missed, begins_anew: false })) = events.next().await.unwrap()
    else {
        panic!("no gap");
    };
    let Some(EventLine::Event(first)) = events.next().await.unwrap() else { panic!("no event") };
    assert_eq!(first.seq, missed + 1);
    let (_, text) = fixture.ask("GET", "/v1/events?since=0&follow=false").await;
    assert!(text.contains(&format!("event: gap\ndata: {{\"missed\":{missed}}}\n\n")), "{text}");
}

/// A client whose cursor is of another journal would otherwise wait for numbers to catch up.
#[tokio::test]
async fn a_number_that_was_never_given_begins_anew() {
    let fixture = Fixture::start();
    for _ in 0..3 {
        fixture.happens("service.started", "web/0");
    }
    for (since, begins_anew) in [(2, false), (3, false), (4, true), (u64::MAX, true)] {
        let query = EventQuery { since: Some(since), ..EventQuery::default() };
        let mut events = fixture.client.events(&query).await.unwrap();
        let mut lines = Vec::new();
        while let Some(line) = events.next().await.unwrap() {
            lines.push(line);
        }
        let begin = EventLine::Gap(Gap { missed: 0, begins_anew: true });
        assert_eq!(lines.first() == Some(&begin), begins_anew, "{since}: {lines:?}");
        let expected = if begins_anew { 4 } else { 3 - since };
        assert_eq!(lines.len() as u64, expected, "{since}: {lines:?}");
    }
    let (_, text) = fixture.ask("GET", "/v1/events?since=9&follow=false&last=1").await;
    assert!(text.contains("event: gap\ndata: {\"missed\":0,\"begins_anew\":true}\n\n"), "{text}");
    assert!(text.contains("id: 3\n") && !text.contains("id: 2\n"), "{text}");
}

#[tokio::test]
async fn logs_come_as_bytes_of_one_service_and_with_names_of_several() {
    let fixture = Fixture::start();
    fixture.write_log("web/0", &["one", "two", "three"]);
    fixture.write_log("worker", &["hello"]);
    let (_, text) = fixture.ask("GET", "/v1/services/web/0/logs?lines=2").await;
    assert!(text.contains("two\nthree\n") && !text.contains("one"), "{text}");
    let (_, text) = fixture.ask("GET", "/v1/logs").await;
    assert!(text.contains("web/0 | three\n") && text.contains("worker | hello\n"), "{text}");
    let query = LogQuery { services: vec!["worker".to_owned()], ..LogQuery::default() };
    let mut lines = fixture.client.logs(&query).await.unwrap();
    let line = lines.next().await.unwrap().unwrap();
    assert_eq!((line.service.as_str(), line.text.as_str()), ("worker", "hello"));
    assert_eq!(line.at.as_deref(), Some("2026-11-21T02:45:02.123456789Z"));
    assert_eq!(lines.next().await.unwrap(), None);
    let (code, _) = fixture.ask("GET", "/v1/services/nobody/logs").await;
    assert_eq!(code, 404);
}
