//! What outlives the supervisor: its services when it is killed, and what it knew of them.

mod connections;
mod damage;
mod exits;
mod figures;
mod intent;
mod kills;
mod memory;
mod strays;

use serde_json::Value;

use crate::support::{BOUND, Kennel, Process, wait_for};

/// Kills the supervisor as nothing else does, and starts the next one.
#[track_caller]
fn succeed(kennel: &mut Kennel) {
    kennel.kill_supervisor();
    kennel.start();
}

/// The processes that bear the mark of this house and of a run of `service`, which lead a
/// session: the main ones.
fn mains(kennel: &Kennel, service: &str) -> Vec<Process> {
    let id = kennel.read("state/id");
    let wanted = [format!("KENNEL_STATE_ID={}", id.trim()), format!("KENNEL_SERVICE={service}")];
    let mut found = kennel.processes();
    found.retain(|process| {
        let environment =
            std::fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
        let has = |wanted: &String| {
            environment.split(|byte| *byte == 0).any(|variable| variable == wanted.as_bytes())
        };
        process.pid == process.group && wanted.iter().all(has)
    });
    found
}

/// The lines of one stream in a log, those that came in pieces joined.
pub(crate) fn lines_of<'a>(log: &'a str, stream: &'a str) -> impl Iterator<Item = String> + 'a {
    let mut open = String::new();
    log.lines().filter_map(move |line| {
        let mut words = line.splitn(4, ' ').skip(1);
        let (of, tag) = (words.next()?, words.next()?);
        if of != stream {
            return None;
        }
        open.push_str(words.next().unwrap_or_default());
        (tag == "F").then(|| std::mem::take(&mut open))
    })
}

/// Waits until the log of a service has all lines up to about `last`: at its own end the
/// supervisor gives them a few seconds only, and a busy machine may want more.
#[track_caller]
pub(crate) fn wait_for_lines(kennel: &Kennel, service: &str, last: usize) {
    let log = format!("state/logs/{service}.log");
    wait_for("the end of the log", BOUND, || {
        let text = kennel.read(&log);
        let is_there = |stream: &str| {
            let number = lines_of(&text, stream).last()?;
            // It may have been about to write the last one when it was stopped.
            Some(number.rsplit(' ').next()?.parse::<usize>().ok()? + 1 >= last)
        };
        ["stdout", "stderr"].iter().all(|stream| is_there(stream) == Some(true)).then_some(())
    });
}

/// The part of a log where a line or its last piece stands.
fn around<'a>(log: &'a str, line: &str) -> &'a str {
    let at = log.rfind(&format!(" F {line}\n")).unwrap_or_default();
    let from = log[..at].rmatch_indices('\n').nth(4).map_or(0, |(at, _)| at);
    let to = log[at..].match_indices('\n').nth(4).map_or(log.len(), |(end, _)| at + end);
    &log[from..to]
}

/// Numbers from 1 on, each once and in order; how many.
#[track_caller]
pub(crate) fn count_of(log: &str, stream: &str) -> usize {
    let mut count = 0;
    for line in lines_of(log, stream) {
        let number = line.rsplit(' ').next().and_then(|number| number.parse().ok());
        assert_eq!(number, Some(count + 1), "on {stream}: {line:?}, in {}", around(log, &line));
        count += 1;
    }
    count
}

/// The one event of this kind that is not of a service.
#[track_caller]
fn last_event(kennel: &Kennel, kind: &str) -> Value {
    let events = kennel.events();
    let found = events.into_iter().rfind(|event| event["kind"] == kind);
    found.unwrap_or_else(|| panic!("no event {kind}"))
}
