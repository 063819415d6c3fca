//! What is sent, and what becomes of the events.

use std::time::Duration;

use kennel_plugin::testing::{Call, Delivering, event, problems};
use kennel_plugin::{Batch, Event, EventSink as _, Failure, ProbeError, Request, Response, Taken};
use kennel_plugin_webhook::Webhook;

const URL: &str = "https://hooks.example.com/in/hunter2";
const POST: &str = "POST https://hooks.example.com/in/hunter2";

const CONFIG: &str = r#"{
    "url": "https://hooks.example.com/in/hunter2",
    "secret": "correct horse",
    "headers": { "authorization": "Bearer battery-staple" },
    "source": "host-1"
}"#;

fn events(numbers: std::ops::RangeInclusive<u64>) -> Vec<Event> {
    numbers.map(|number| event(number, "service.exited", "exited with code 3")).collect()
}

fn status(status: u16) -> Response {
    Response { status, ..Response::default() }
}

fn batch(events: Vec<Event>) -> Batch {
    Batch { events, now_unix_ms: 1_795_229_102_123, ..Batch::default() }
}

/// The requests of one delivery that gets these answers, and what comes of it.
fn deliver(
    config: &str,
    batch: &Batch,
    answers: impl IntoIterator<Item = Response>,
) -> (Vec<Request>, Result<Taken, Failure>) {
    let mut sink = Delivering::<Webhook>::new(config);
    for answer in answers {
        sink.host.on_http(POST, answer);
    }
    let result = sink.deliver_batch(batch);
    let requests = sink.host.calls().into_iter().map(|call| match call {
        Call::Http(request) => request,
        other => panic!("{other:?}"),
    });
    (requests.collect(), result)
}

fn header<'a>(request: &'a Request, name: &str) -> Option<&'a str> {
    let found = request.headers.iter().find(|(key, _)| key == name);
    found.map(|(_, value)| value.as_str())
}

#[test]
fn events_are_one_signed_object() {
    let mut batch = batch(events(7..=8));
    batch.dropped = 3;
    let (requests, result) = deliver(CONFIG, &batch, [status(204)]);
    assert_eq!(result, Ok(Taken::All));
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    assert_eq!(request.url, URL);
    let one = |number: u64| {
        format!(
            "{{\"seq\":{number},\"at\":\"2027-01-15T08:00:00.00{number}Z\",\
             \"kind\":\"service.exited\",\"severity\":\"info\",\"service\":\"web\",\"instance\":0,\
             \"message\":\"exited with code 3\",\"attributes\":{{}}}}"
        )
    };
    let body =
        format!("{{\"source\":\"host-1\",\"dropped\":3,\"events\":[{},{}]}}", one(7), one(8));
    assert_eq!(String::from_utf8_lossy(&request.body), body);
    assert_eq!(header(request, "content-type"), Some("application/json"));
    assert_eq!(header(request, "authorization"), Some("Bearer battery-staple"));
    assert_eq!(header(request, "kennel-sequence"), Some("7-8"));
    assert_eq!(header(request, "kennel-dropped"), Some("3"));
    assert_eq!(header(request, "kennel-source"), Some("host-1"));
    // printf '1795229102.%s' "$BODY" | openssl dgst -sha256 -hmac 'correct horse'
    assert_eq!(
        header(request, "kennel-signature"),
        Some("t=1795229102,v1=de5bb3f6eb4d7ff6e74e5a3a3c11ac7db5a45767bf085528dc7b159a36fd49d2")
    );
}

#[test]
fn events_are_lines_where_that_is_wanted() {
    let config = r#"{ "url": "https://hooks.example.com/in/hunter2", "format": "ndjson" }"#;
    let (requests, result) = deliver(config, &batch(events(1..=3)), [status(200)]);
    assert_eq!(result, Ok(Taken::All));
    let body = String::from_utf8(requests[0].body.clone()).unwrap();
    assert_eq!(body.lines().count(), 3);
    assert!(body.ends_with("}\n") && body.starts_with("{\"seq\":1,"), "{body}");
    assert_eq!(header(&requests[0], "content-type"), Some("application/x-ndjson"));
    assert_eq!(header(&requests[0], "kennel-signature"), None, "there is no secret");
    assert_eq!(header(&requests[0], "kennel-dropped"), None);
}

#[test]
fn a_request_has_no_more_events_than_configured() {
    let config = r#"{ "url": "https://hooks.example.com/in/hunter2", "max_events": 2 }"#;
    let (requests, result) = deliver(config, &batch(events(1..=5)), [status(200)]);
    assert_eq!(result, Ok(Taken::First(2)));
    assert_eq!(header(&requests[0], "kennel-sequence"), Some("1-2"));
}

#[test]
fn a_request_is_no_larger_than_configured_unless_a_single_event_is() {
    let config = r#"{ "url": "https://hooks.example.com/in/hunter2", "max_size": "1KiB" }"#;
    let (requests, result) = deliver(config, &batch(events(1..=50)), [status(200)]);
    let Ok(Taken::First(count @ 2..=10)) = result else { panic!("{result:?}") };
    assert!(requests[0].body.len() <= 1024 + 100, "{}", requests[0].body.len());
    assert_eq!(header(&requests[0], "kennel-sequence"), Some(format!("1-{count}").as_str()));

    let large = event(1, "x", &"é".repeat(10_000));
    let (requests, result) = deliver(config, &batch(vec![large.clone(), large]), [status(200)]);
    assert_eq!(result, Ok(Taken::First(1)));
    assert!(requests[0].body.len() > 20_000);
}

#[test]
fn what_is_too_large_for_the_endpoint_is_halved() {
    let answers = [status(413), status(413), status(200)];
    let (requests, result) = deliver(CONFIG, &batch(events(1..=10)), answers);
    assert_eq!(result, Ok(Taken::First(2)));
    let ranges: Vec<_> = requests.iter().map(|r| header(r, "kennel-sequence").unwrap()).collect();
    assert_eq!(ranges, ["1-10", "1-5", "1-2"]);

    let (_, result) = deliver(CONFIG, &batch(events(1..=1)), [status(413)]);
    let reason = "https://hooks.example.com answered 413".to_owned();
    assert_eq!(result, Err(Failure::Reject { reason }));
}

fn with(code: u16, retry_after: &str, body: &str) -> Response {
    let headers = match retry_after {
        "" => Vec::new(),
        text => vec![("Retry-After".to_owned(), text.to_owned())],
    };
    Response { headers, body: body.into(), ..status(code) }
}

#[track_caller]
fn fails(answer: Response, expected: Failure) {
    let (_, result) = deliver(CONFIG, &batch(events(1..=1)), [answer]);
    assert_eq!(result, Err(expected));
}

#[test]
fn what_the_endpoint_cannot_take_now_comes_again() {
    let later = |seconds, what: &str| {
        let reason = format!("https://hooks.example.com answered {what}");
        Failure::retry(Duration::from_secs(seconds), reason)
    };
    fails(with(429, "7", ""), later(7, "429"));
    fails(with(503, "Sat, 21 Nov 2026 02:46:02 GMT", ""), {
        let reason = "https://hooks.example.com answered 503";
        Failure::retry(Duration::from_millis(59_877), reason)
    });
    fails(with(429, "", "slow down"), later(0, "429: slow down"));
    fails(with(429, "99999999999", ""), later(86_400, "429"));
    fails(with(429, "-1", ""), later(0, "429"));
    for code in [408, 425, 500, 502, 504, 599, 100, 0, 999] {
        fails(with(code, "", ""), later(0, &code.to_string()));
    }
}

#[test]
fn what_the_endpoint_refuses_is_given_up_with_its_words() {
    let rejected =
        |what: &str| Failure::reject(format!("https://hooks.example.com answered {what}"));
    fails(with(400, "", "no such\nfield"), rejected("400: no such field"));
    for code in [401, 403, 404, 410, 422, 451] {
        fails(with(code, "", ""), rejected(&code.to_string()));
    }
    fails(with(302, "", ""), rejected("302: events are sent to the configured URL only"));
    let long = "x".repeat(5000);
    fails(with(400, "", &long), rejected(&format!("400: {}…", "x".repeat(200))));
}

#[test]
fn a_request_without_an_answer_is_made_again() {
    for error in [
        ProbeError::Timeout,
        ProbeError::Connect("refused".into()),
        ProbeError::Denied("http: https://hooks.example.com".into()),
        ProbeError::Dns("no such host".into()),
        ProbeError::Tls("expired".into()),
        ProbeError::Protocol("nonsense".into()),
        ProbeError::TooLarge,
        ProbeError::Other("?".into()),
    ] {
        let mut sink = Delivering::<Webhook>::new(CONFIG);
        sink.host.on_http(POST, error.clone());
        let reason = format!("https://hooks.example.com: {error}");
        assert_eq!(sink.deliver(&events(1..=2)), Err(Failure::retry(Duration::ZERO, reason)));
    }
}

#[test]
fn secrets_appear_in_no_reason_and_no_description() {
    let echo = "no: /in/hunter2 correct horse, Bearer battery-staple, battery-staple";
    for code in [400, 413, 429, 500, 302] {
        let (_, result) = deliver(CONFIG, &batch(events(1..=1)), [with(code, "", echo)]);
        let shown = format!("{result:?}");
        assert!(shown.contains("no: … …, …, …"), "{shown}");
        for secret in ["hunter2", "horse", "battery", "staple"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let mut sink = Delivering::<Webhook>::new(CONFIG);
    sink.host.on_http(POST, ProbeError::Other(format!("cannot reach {URL}")));
    let shown = format!("{:?}", sink.deliver(&events(1..=1)));
    assert!(!shown.contains("hunter2"), "{shown}");
    let config = kennel_plugin::json::from_slice(CONFIG.as_bytes()).unwrap();
    let shown = format!("{:?}", Webhook::new(config).unwrap());
    for secret in ["hunter2", "horse", "battery"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn nothing_is_sent_where_there_is_nothing() {
    let (requests, result) = deliver(CONFIG, &batch(Vec::new()), []);
    assert_eq!((requests.len(), result), (0, Ok(Taken::All)));
}

#[track_caller]
fn refused(config: &str, expected: &[(&str, &str)]) {
    let found = problems(Webhook::new, config);
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (problem, (path, part)) in found.iter().zip(expected) {
        assert_eq!(problem.path, *path, "{found:#?}");
        assert!(problem.message.contains(part), "{problem:?}");
        assert!(!problem.message.contains("hunter2"), "{problem:?}");
    }
}

#[test]
fn every_problem_of_a_configuration_is_told_with_its_place() {
    refused(
        r#"{ "url": "https://a", "secret": "", "max_events": 0, "max_size": "5MiB",
             "timeout": "0s", "source": "日本",
             "headers": { "": "x", "a b": "x", "Content-Length": "1", "x": "a\nhunter2" } }"#,
        &[
            ("secret", "is empty"),
            ("headers.", "is no name"),
            ("headers.Content-Length", "set by the plugin"),
            ("headers.a b", "is no name"),
            ("headers.x", "line ends"),
            ("max_events", "one event at least"),
            ("max_size", "more than 4MiB"),
            ("timeout", "no time in 0s"),
            ("source", "ASCII"),
        ],
    );
}
