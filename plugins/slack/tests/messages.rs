//! What is posted, and what becomes of the events.

use std::time::Duration;

use kennel_plugin::testing::{Call, Delivering, event, problems};
use kennel_plugin::{Batch, Event, EventSink as _, Failure, ProbeError, Response, Severity, Taken};
use kennel_plugin_slack::Slack;

const POST: &str = "POST https://hooks.slack.com/services/T0/B0/hunter2";
const CONFIG: &str = r#"{ "url": "https://hooks.slack.com/services/T0/B0/hunter2" }"#;

fn config(more: &str) -> String {
    CONFIG.replace(" }", &format!(", {more} }}"))
}

fn said(number: u64, severity: Severity, message: &str) -> Event {
    Event { severity, instance: None, ..event(number, "service.exited", message) }
}

fn status(status: u16) -> Response {
    Response { status, ..Response::default() }
}

/// The text of the message about these events.
fn text(config: &str, batch: &Batch) -> String {
    let mut sink = Delivering::<Slack>::new(config);
    sink.host.on_http(POST, Response { body: b"ok".to_vec(), ..status(200) });
    assert_eq!(sink.deliver_batch(batch), Ok(Taken::All));
    let calls = sink.host.calls();
    let [Call::Http(request)] = calls.as_slice() else { panic!("{calls:?}") };
    let payload: kennel_plugin::json::Value =
        kennel_plugin::json::from_slice(&request.body).expect("JSON");
    assert_eq!(payload.get("unfurl_links").and_then(|value| value.as_bool()), Some(false));
    payload.get("text").and_then(|text| text.as_str()).expect("a text").to_owned()
}

fn batch(events: Vec<Event>) -> Batch {
    Batch { events, now_unix_ms: 1_800_000_100_000, ..Batch::default() }
}

#[test]
fn an_event_is_a_line() {
    let event = said(7, Severity::Warn, "exited with code 3 after 12 ms");
    assert_eq!(
        text(CONFIG, &batch(vec![event])),
        ":large_orange_circle: *web* exited with code 3 after 12 ms · \
         <!date^1800000000^{time_secs}|08:00:00 UTC>"
    );
}

#[test]
fn what_happens_again_and_again_is_one_line() {
    let mut events: Vec<_> =
        (1..=6).map(|n| said(n * 1000, Severity::Warn, "exited with code 3")).collect();
    events.insert(3, said(3500, Severity::Error, "gave up"));
    let mut two = said(7000, Severity::Warn, "exited with code 3");
    two.instance = Some(2);
    events.extend([two.clone(), two]);
    let text = text(&config(r#""source": "house", "mention": "here""#), &batch(events));
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "<!here> *house*: 9 events",
            ":large_orange_circle: *web* exited with code 3 · 6 times, last \
             <!date^1800000006^{time_secs}|08:00:06 UTC>",
            ":red_circle: *web* gave up · <!date^1800000003^{time_secs}|08:00:03 UTC>",
            ":large_orange_circle: *web/2* exited with code 3 · twice, last \
             <!date^1800000007^{time_secs}|08:00:07 UTC>",
        ]
    );
}

#[test]
fn nobody_is_mentioned_for_less_than_an_error() {
    for (mention, written) in [
        ("here", "<!here>"),
        ("@channel", "<!channel>"),
        ("U0123ABCD", "<@U0123ABCD>"),
        ("S0123ABCD", "<!subteam^S0123ABCD>"),
    ] {
        let config = config(&format!(r#""mention": "{mention}""#));
        let warning = text(&config, &batch(vec![said(1, Severity::Warn, "x")]));
        assert!(!warning.contains(written), "{warning}");
        let error = text(&config, &batch(vec![said(1, Severity::Error, "x")]));
        assert!(error.starts_with(&format!("{written}\n:red_circle:")), "{error}");
    }
}

#[test]
fn what_matters_less_is_left_out() {
    let config = config(r#""min_severity": "warn""#);
    let mut sink = Delivering::<Slack>::new(&config);
    let quiet = [said(1, Severity::Debug, "a"), said(2, Severity::Info, "b")];
    assert_eq!(sink.deliver(&quiet), Ok(Taken::All), "without any request");

    let mixed = batch(vec![said(1, Severity::Info, "quiet"), said(2, Severity::Error, "loud")]);
    let shown = text(&config, &mixed);
    assert!(shown.contains("loud") && !shown.contains("quiet"), "{shown}");

    let lost = Batch { dropped: 12, ..batch(quiet.to_vec()) };
    assert_eq!(text(&config, &lost), "_12 events were lost before these_");
}

#[test]
fn a_message_has_its_limits() {
    let events: Vec<_> =
        (1..=100).map(|n| said(n, Severity::Info, &format!("event number {n}"))).collect();
    let shown = text(CONFIG, &batch(events.clone()));
    assert_eq!(shown.lines().count(), 21);
    assert!(shown.ends_with("\n_and 80 more: `kennel events --since 20`_"), "{shown}");
    assert_eq!(text(&config(r#""max_lines": 1"#), &batch(events)).lines().count(), 2);

    let huge: Vec<_> = (1..=100)
        .map(|n| said(n, Severity::Info, &format!("{n} {}", "<日&本>\n".repeat(10_000))))
        .collect();
    let shown = text(CONFIG, &batch(huge));
    assert!(shown.len() < 8000, "{} bytes", shown.len());
    assert!(shown.contains("more: `kennel events --since"), "{shown}");
}

#[test]
fn a_service_cannot_write_markup() {
    let mut event = said(1, Severity::Info, "<!channel> & <https://evil.example|click>\r\n<@U1>");
    event.service = Some("<b>\n".to_owned());
    let shown = text(CONFIG, &batch(vec![event]));
    let escaped = ":white_circle: *&lt;b&gt;* &lt;!channel&gt; &amp; \
                   &lt;https://evil.example|click&gt; &lt;@U1&gt; · ";
    assert!(shown.starts_with(escaped), "{shown}");
    assert_eq!(shown.lines().count(), 1);
}

#[test]
fn an_event_without_words_is_shown_by_its_kind() {
    let mut event = said(1, Severity::Info, "");
    event.service = None;
    let shown = text(CONFIG, &batch(vec![event]));
    assert!(shown.starts_with(":white_circle: service.exited · "), "{shown}");
}

#[test]
fn answers_decide_what_becomes_of_the_events() {
    let result = |answer: Response| {
        let mut sink = Delivering::<Slack>::new(CONFIG);
        sink.host.on_http(POST, answer);
        sink.deliver(&[said(1, Severity::Info, "x")])
    };
    let headers = vec![("retry-after".to_owned(), "30".to_owned())];
    let limited = Response { headers, body: b"rate_limited".to_vec(), ..status(429) };
    let reason = "https://hooks.slack.com answered 429: rate_limited";
    assert_eq!(result(limited), Err(Failure::retry(Duration::from_secs(30), reason)));
    let reason = "https://hooks.slack.com answered 503";
    assert_eq!(result(status(503)), Err(Failure::retry(Duration::ZERO, reason)));
    for (code, word) in [
        (400, "invalid_payload"),
        (403, "invalid_token"),
        (404, "no_service"),
        (410, "x"),
        (302, ""),
    ] {
        let answer = Response { body: word.into(), ..status(code) };
        let colon = if word.is_empty() { "" } else { ": " };
        let reason = format!("https://hooks.slack.com answered {code}{colon}{word}");
        assert_eq!(result(answer), Err(Failure::reject(reason)));
    }
}

#[test]
fn the_address_appears_in_no_reason() {
    let echo = "no /services/T0/B0/hunter2 here";
    for code in [400, 404, 429, 500] {
        let mut sink = Delivering::<Slack>::new(CONFIG);
        sink.host.on_http(POST, Response { body: echo.into(), ..status(code) });
        let shown = format!("{:?}", sink.deliver(&[said(1, Severity::Info, "x")]));
        assert!(shown.contains("no … here") && !shown.contains("hunter2"), "{shown}");
    }
    let mut sink = Delivering::<Slack>::new(CONFIG);
    sink.host.on_http(POST, ProbeError::Other(format!("{POST} failed")));
    let shown = format!("{:?}", sink.deliver(&[said(1, Severity::Info, "x")]));
    assert!(!shown.contains("hunter2"), "{shown}");
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_place() {
    let long = "x".repeat(81);
    for (more, path, part) in [
        (r#""max_lines": 0"#.to_owned(), "max_lines", "from 1 to 50"),
        (r#""max_lines": 51"#.to_owned(), "max_lines", "from 1 to 50"),
        (r#""mention": "everybody""#.to_owned(), "mention", "is nobody"),
        (r#""mention": "U1<x>""#.to_owned(), "mention", "is nobody"),
        (r#""timeout": "0s""#.to_owned(), "timeout", "no time"),
        (format!(r#""source": "{long}""#), "source", "longer than 80"),
    ] {
        let found = problems(Slack::new, &config(&more));
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].path, path);
        assert!(found[0].message.contains(part), "{found:?}");
    }
    let found = problems(Slack::new, r#"{ "url": "hooks.slack.com/services/T0/B0/hunter2" }"#);
    assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
}
