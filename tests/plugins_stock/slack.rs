//! `slack` posts messages to a server that answers as Slack does.

use crate::support::hook::{Hook, Reply};
use crate::support::{BOUND, Kennel, wait_for};

fn yaml(hook: &Hook, config: &str) -> String {
    let origin = hook.origin();
    format!(
        "plugins: {{ slack: {{ source: 'stock:slack', grants: {{ http: ['{origin}'] }} }} }}\n\
         sinks:\n\
         - plugin: slack\n  \
           events: ['service.*']\n  \
           config: {{ url: '{origin}/services/T0/B0/token'{config} }}\n\
         services:\n  \
           worker:\n    \
             shell: exit 3\n    \
             restart: {{ backoff: {{ initial: 5ms, max: 5ms }}, limit: {{ max: 5, within: 1m }} }}\n"
    )
}

#[test]
fn a_service_that_keeps_failing_is_few_messages() {
    let hook = Hook::answering(|_| Reply { body: "ok".to_owned(), ..Reply::status(200) });
    let config = ", min_severity: warn, source: house, mention: here";
    let kennel = Kennel::running(&yaml(&hook, config));
    kennel.wait_for_state("worker", "failed");
    let last = hook.wait_for("the message", |sent| sent.body.contains("gave up"));
    assert_eq!(last.line, "POST /services/T0/B0/token HTTP/1.1");
    assert_eq!(last.header("content-type"), Some("application/json"));
    let text = last.json()["text"].as_str().unwrap().to_owned();
    assert!(text.starts_with("<!here> *house*"), "{text}");
    assert!(text.contains(":red_circle: *worker* gave up: "), "{text}");
    assert!(text.contains("more than 5 restarts within 1 min"), "{text}");
    assert!(!text.contains("started"), "that is no warning: {text}");
    let lines: usize =
        hook.sent().iter().map(|sent| sent.json()["text"].as_str().unwrap().lines().count()).sum();
    let events = kennel.events().len();
    assert!(lines < events, "{lines} lines for {events} events");
}

#[test]
fn a_message_that_slack_has_no_time_for_comes_later() {
    let hook = Hook::answering(|_| Reply {
        headers: "Retry-After: 1\r\n",
        body: "rate_limited".to_owned(),
        ..Reply::status(429)
    });
    let kennel = Kennel::running(&yaml(&hook, ""));
    wait_for("the first try to be told", BOUND, || {
        kennel.said().contains("answered 429").then_some(())
    });
    hook.answer(|_| Reply::status(200));
    let refused = hook.sent().len();
    let taken = wait_for("the messages", BOUND, || {
        let all: String = hook.sent().iter().skip(refused).map(|sent| sent.body.clone()).collect();
        all.contains("gave up").then_some(all)
    });
    assert!(taken.contains("started (run 1)"), "the first one came too: {taken}");
    kennel.wait_for_state("worker", "failed");
    assert!(kennel.said().contains("answered 429: rate_limited"), "{}", kennel.said());
    assert!(!kennel.said().contains("token"), "the address is a secret: {}", kennel.said());
}

#[test]
fn what_slack_refuses_is_told_in_its_words() {
    let hook = Hook::answering(|_| Reply { body: "no_service".to_owned(), ..Reply::status(404) });
    let kennel = Kennel::running(&yaml(&hook, ""));
    let rejected = kennel.wait_for_news("sink.rejected", |_| true);
    let message = rejected["message"].as_str().unwrap();
    assert!(message.contains("answered 404: no_service"), "{message}");
    assert!(!message.contains("token"), "the address is a secret: {message}");
}
