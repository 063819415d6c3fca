//! `kennel why`: the decisions that led to today's state.
//!
//! The story of a service begins with the last thing that was settled before its present
//! run or its last failure: an order of the operator, a reset, an orderly end, or a run that had
//! become stable. When the service waits for another one, that one's story follows. Programs
//! mostly say themselves why they ended, so of one that does not run the last lines of output
//! are shown.

use std::collections::VecDeque;
use std::io::Write as _;

use jiff::Timestamp;
use kennel_core::Human;

use super::connect::{block_on, client};
use super::local_time::{age, coarse};
use super::paint::{Colour, Paint};
use super::status::printable;
use super::{ExitKind, Failure, Global, Outcome};
use crate::api::client::{EventQuery, LogQuery};
use crate::api::wire::{Event, EventLine, Health, LogsTo, Service, State};
use crate::api::{Client, ClientError};

/// How many of the last events a story is looked for in.
const LOOKED_AT: u64 = 300;
/// How many events of a story are told.
const TOLD: usize = 25;
/// How many services down a chain of waiting are told of.
const DEPTH: usize = 5;
/// How many lines of output are shown of a service that does not run.
const LINES: u64 = 5;
/// Between the first line of a run and the event that tells of its start.
const A_LITTLE: std::time::Duration = std::time::Duration::from_secs(1);

/// Options of `kennel why`.
#[derive(clap::Args, Debug)]
pub(super) struct WhyArgs {
    /// A service, or an instance such as web/0
    #[arg(value_name = "SERVICE")]
    service: String,
}

pub(super) fn why(global: &Global, args: &WhyArgs) -> Outcome {
    let WhyArgs { service } = args;
    let client = client(global)?;
    let failed = |error: ClientError| Failure::from(error).doing(&format!("explain {service}"));
    let text = block_on(async { tell(&client, service).await.map_err(failed) })?;
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitKind::Done)
}

async fn tell(client: &Client, name: &str) -> Result<String, ClientError> {
    let named = client.status(&[name.to_owned()]).await?.services;
    let all = client.status(&[]).await?.services;
    let mut chapters = Vec::new();
    let mut told: Vec<String> = Vec::new();
    let mut open: VecDeque<(Service, usize)> = named.into_iter().map(|s| (s, 0)).collect();
    while let Some((service, depth)) = open.pop_front() {
        if told.contains(&service.name) {
            continue;
        }
        let query = EventQuery {
            last: Some(LOOKED_AT),
            service: Some(service.name.clone()),
            ..EventQuery::default()
        };
        let events = past(client, &query).await?;
        let story = story(&service, &events);
        let mut told_now = chapter(&service, story, Timestamp::now(), Paint::stdout());
        if let Some(first) = story.first()
            && is_down_for_a_fault(&service)
        {
            told_now.push_str(&last_words(&service.name, &lines(client, &service, first).await?));
        }
        chapters.push(told_now);
        if depth < DEPTH
            && let Some(other) = waits_for(&service, &all)
        {
            open.push_back((other.clone(), depth + 1));
        }
        told.push(service.name);
    }
    Ok(chapters.join("\n"))
}

pub(super) async fn past(client: &Client, query: &EventQuery) -> Result<Vec<Event>, ClientError> {
    let mut lines = client.events(query).await?;
    let mut events = Vec::new();
    while let Some(line) = lines.next().await? {
        match line {
            EventLine::Event(event) => events.push(event),
            EventLine::Gap(_) => {}
        }
    }
    Ok(events)
}

/// Whether it is to run and does not, for a reason that its output may tell.
fn is_down_for_a_fault(service: &Service) -> bool {
    service.logs_to == LogsTo::File
        && match service.state {
            State::Backoff | State::Failed | State::Starting => true,
            State::Up | State::Down | State::Done | State::Waiting | State::Stopping => false,
        }
}

/// The last lines that it wrote since this event. A start is told when the program runs, which may
/// have written by then.
async fn lines(
    client: &Client,
    service: &Service,
    since: &Event,
) -> Result<Vec<String>, ClientError> {
    let query = LogQuery {
        services: vec![service.name.clone()],
        lines: Some(LINES),
        since: Some(a_little_before(&since.at)),
        follow: false,
    };
    let mut lines = client.logs(&query).await?;
    let mut texts = Vec::new();
    while let Some(line) = lines.next().await? {
        texts.push(line.text);
    }
    Ok(texts)
}

fn a_little_before(at: &str) -> String {
    match at.parse::<Timestamp>().map(|at| at.checked_sub(A_LITTLE)) {
        Ok(Ok(before)) => before.to_string(),
        Ok(Err(_)) | Err(_) => at.to_owned(),
    }
}

fn last_words(name: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let mut out = format!("\n  its last lines of output (more: kennel logs {name})\n");
    for line in lines {
        // Without colours: these would be those of the service.
        let line = anstream::adapter::strip_str(line).to_string();
        out.push_str(&format!("    {}\n", printable(&line)));
    }
    out
}

/// The service that `service` says it waits for.
fn waits_for<'a>(service: &Service, all: &'a [Service]) -> Option<&'a Service> {
    let name = service.reason.strip_prefix("waits for ")?.split(' ').next()?;
    all.iter().find(|other| other.name == name)
}

/// The part of `events` that led to the present state.
fn story<'a>(service: &Service, events: &'a [Event]) -> &'a [Event] {
    let last =
        |kinds: &[&str]| events.iter().rposition(|event| kinds.contains(&event.kind.as_str()));
    // What the present state came from; what was settled before it is where to begin.
    let turn = match service.state {
        State::Up | State::Starting => last(&["service.started"]),
        State::Backoff | State::Failed => last(&["service.exited", "service.start_failed"]),
        State::Done => last(&["service.started"]),
        State::Down => last(&["service.stopped"]),
        State::Waiting | State::Stopping => None,
    };
    let turn = turn.unwrap_or(events.len());
    let begin = events[..turn].iter().rposition(is_settled).unwrap_or(0);
    &events[begin..]
}

/// Whether what came before an event has nothing to do with what comes after it.
fn is_settled(event: &Event) -> bool {
    let reason = event.attributes.get("reason").and_then(|reason| reason.as_str());
    match event.kind.as_str() {
        "service.wanted" | "service.reset" | "service.stable" | "service.stopped" => true,
        "service.stopping" => matches!(reason, Some("restart" | "configuration" | "operator")),
        _ => false,
    }
}

/// A heading, and the events with their ages.
fn chapter(service: &Service, events: &[Event], now: Timestamp, paint: Paint) -> String {
    let mut out = heading(service, now, paint);
    if events.is_empty() {
        out.push_str("\n  the journal holds nothing about it\n");
        return out;
    }
    out.push('\n');
    let untold = events.len().saturating_sub(TOLD);
    if untold > 0 {
        let name = &service.name;
        out.push_str(&format!(
            "  {untold} earlier events of this story: kennel events --service {name}\n"
        ));
    }
    let events = &events[untold..];
    let ages: Vec<String> = events.iter().map(|event| ago(event, now)).collect();
    let width = ages.iter().map(|age| age.chars().count()).max().unwrap_or(0);
    for (event, age) in events.iter().zip(ages) {
        let age = paint.paint(Colour::Dim, format!("{age:>width$}"));
        out.push_str(&format!("  {age}  {}\n", printable(&event.message)));
    }
    out
}

fn heading(service: &Service, now: Timestamp, paint: Paint) -> String {
    let Service { name, state, health, pid, reason, since, .. } = service;
    let state_words = paint.state(*state, state.phrase());
    let mut out = format!("{} {state_words}", paint.paint(Colour::Bold, name));
    let since = age(since, now);
    if since.as_secs() > 0 {
        // "has failed for 3 min" would say something else.
        let time = Human(whole_seconds(since));
        out.push_str(&match state {
            State::Failed => format!(", {time} ago"),
            State::Down
            | State::Waiting
            | State::Starting
            | State::Up
            | State::Stopping
            | State::Backoff
            | State::Done => format!(" for {time}"),
        });
    }
    if let Some(pid) = pid {
        out.push_str(&format!(", pid {pid}"));
    }
    match health {
        Health::Unknown => {}
        Health::Healthy | Health::Degraded | Health::Unhealthy => {
            out.push_str(&format!(", {}", paint.health(*health, health)));
        }
    }
    if !reason.is_empty() {
        out.push_str(&format!(": {}", printable(reason)));
    }
    out.push('\n');
    out
}

fn whole_seconds(time: std::time::Duration) -> std::time::Duration {
    std::time::Duration::from_secs(time.as_secs())
}

fn ago(event: &Event, now: Timestamp) -> String {
    match coarse(age(&event.at, now)).as_str() {
        "now" => "now".to_owned(),
        age => format!("{age} ago"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::Wanted;

    fn service(state: State, reason: &str) -> Service {
        Service {
            name: "web".into(),
            state,
            wanted: Wanted::Up,
            pid: None,
            ready: false,
            health: Health::Unknown,
            restarts: 0,
            since: "2026-11-21T07:59:50.000Z".into(),
            exit: None,
            reason: reason.into(),
            status_text: None,
            next_restart_in_ms: None,
            memory_bytes: None,
            cpu_ms: None,
            labels: Default::default(),
            service: "web".into(),
            start_ms: None,
            logs_to: crate::api::wire::LogsTo::File,
            sockets: Vec::new(),
        }
    }

    /// Events of these kinds, a second apart; the message is the kind.
    fn events(kinds: &[&str]) -> Vec<Event> {
        let event = |(index, kind): (usize, &&str)| {
            let (kind, reason) = kind.split_once(' ').unwrap_or((kind, ""));
            Event {
                seq: index as u64,
                at: format!("2026-11-21T07:59:{:02}.000000Z", index + 40),
                kind: format!("service.{kind}"),
                service: Some("web".into()),
                message: kind.into(),
                attributes: serde_json::Map::from_iter([("reason".to_owned(), reason.into())]),
            }
        };
        kinds.iter().enumerate().map(event).collect()
    }

    fn check(state: State, kinds: &[&str], expected: &[&str]) {
        let events = events(kinds);
        let told: Vec<_> =
            story(&service(state, ""), &events).iter().map(|e| e.message.as_str()).collect();
        assert_eq!(told, expected, "{state} after {kinds:?}");
    }

    #[test]
    fn a_story_begins_with_what_was_settled_before_the_trouble() {
        let crash = ["wanted", "started", "ready", "stable", "exited", "backoff"];
        check(State::Backoff, &crash, &["stable", "exited", "backoff"]);
        let back = ["wanted", "started", "stable", "exited", "backoff", "started", "stable"];
        check(State::Up, &back, &["stable", "exited", "backoff", "started", "stable"]);
        check(
            State::Up,
            &["wanted", "started", "ready", "stable"],
            &["wanted", "started", "ready", "stable"],
        );
        check(
            State::Down,
            &["wanted", "started", "ready", "wanted", "stopping operator", "stopped"],
            &["stopping", "stopped"],
        );
        check(
            State::Up,
            &["wanted", "started", "ready", "stopping restart", "exited", "started", "ready"],
            &["stopping", "exited", "started", "ready"],
        );
        check(
            State::Failed,
            &["stable", "exited", "backoff", "started", "stopping not-ready", "exited", "failed"],
            &["stable", "exited", "backoff", "started", "stopping", "exited", "failed"],
        );
        // Another supervisor went on after an orderly end.
        check(
            State::Backoff,
            &["stable", "exited", "failed", "stopped", "started", "exited", "backoff"],
            &["stopped", "started", "exited", "backoff"],
        );
        check(State::Waiting, &[], &[]);
    }

    #[test]
    fn a_chapter_says_what_is_and_how_it_came() {
        let events = events(&["wanted", "started"]);
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        let service = service(State::Waiting, "waits for db to be ready, which has failed");
        assert_eq!(
            chapter(&service, &events, now, Paint::never()),
            "web is waiting for 10 s: waits for db to be ready, which has failed\n\
             \n  20 s ago  wanted\n  19 s ago  started\n"
        );
    }

    #[test]
    fn output_is_shown_of_what_should_run_and_does_not() {
        let shows = |state| is_down_for_a_fault(&service(state, ""));
        let all = [State::Backoff, State::Failed, State::Starting, State::Up, State::Down];
        assert_eq!(all.map(shows), [true, true, true, false, false]);
        let to_nowhere = Service { logs_to: LogsTo::None, ..service(State::Failed, "") };
        assert!(!is_down_for_a_fault(&to_nowhere));
        assert_eq!(last_words("web", &[]), "");
        assert_eq!(
            last_words("web", &["bind: \u{1b}[31min use".to_owned()]),
            "\n  its last lines of output (more: kennel logs web)\n    bind: in use\n"
        );
    }

    #[test]
    fn a_long_story_is_cut_at_its_beginning_and_says_so() {
        let events = events(&["exited"; 20].repeat(2));
        let now = "2026-11-21T08:00:00Z".parse().unwrap();
        let text = chapter(&service(State::Backoff, ""), &events, now, Paint::never());
        assert!(text.contains("15 earlier events of this story: kennel events --service web"));
        assert_eq!(text.matches("exited").count(), TOLD);
    }
}
