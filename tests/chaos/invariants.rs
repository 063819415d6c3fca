//! What must hold whatever happened, seen from outside: processes by `/proc`, lines by the log
//! files, events by their numbers.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use crate::adoption::lines_of;
use crate::support::Process;

use super::world::{INSTANCES, WRITERS, World};

/// How long it may take until everything is as it is wanted.
const PATIENCE: Duration = Duration::from_secs(60);

impl World {
    /// Waits until everything is as it is wanted, and looks at what was to hold all the time.
    pub(super) fn verify(&mut self, last_seq: &mut u64) -> Result<(), String> {
        let begun = Instant::now();
        // What is noted was written before; writers go on, so the log is behind by a moment.
        let written = WRITERS.map(|name| (name, self.last_lines(name)));
        loop {
            self.nothing_runs_twice()?;
            match self.is_as_wanted().and_then(|()| self.lines_are_there(&written)) {
                Ok(()) => break,
                Err(why) if begun.elapsed() > PATIENCE => return Err(why),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
        self.events_have_no_hole(last_seq)
    }

    /// No process of a run lives together with one of another run of its instance.
    fn nothing_runs_twice(&self) -> Result<(), String> {
        let mut instances: BTreeMap<String, BTreeMap<u64, Vec<Process>>> = BTreeMap::new();
        for ((name, run), processes) in self.processes() {
            instances.entry(name).or_default().insert(run, processes);
        }
        for (name, runs) in &instances {
            // A check that is being cut is no part of the service.
            let counts = |process: &Process| !process.command.starts_with("test -e");
            let alive = |processes: &Vec<Process>| {
                processes.iter().any(|process| counts(process) && process.is_alive())
            };
            // One that was seen first may have ended before the next one was.
            if runs.len() > 1 && runs.values().filter(|processes| alive(processes)).count() > 1 {
                return Err(format!("{name} runs twice: {runs:?}"));
            }
        }
        Ok(())
    }

    /// Exactly one process tree for each service wanted up, none for one wanted down.
    fn is_as_wanted(&self) -> Result<(), String> {
        let runs = self.processes();
        let states = self.states()?;
        for name in INSTANCES {
            let mains: Vec<&Process> = runs
                .iter()
                .filter(|((instance, _), _)| instance == name)
                .flat_map(|(_, processes)| processes)
                .filter(|process| process.pid == process.group && !is_stray(process))
                .collect();
            let (state, pid) = states.get(name).ok_or_else(|| format!("{name} is unknown"))?;
            let is_right = if self.wanted.contains(name) {
                mains.len() == 1 && state == "up" && *pid == Some(i64::from(mains[0].pid))
            } else {
                state == "down" && !runs.keys().any(|(instance, _)| instance == name)
            };
            if !is_right {
                return Err(format!("{name} is {state}, pid {pid:?}, its processes: {mains:?}"));
            }
        }
        Ok(())
    }

    /// State and pid of each instance, as the supervisor says.
    fn states(&self) -> Result<BTreeMap<String, (String, Option<i64>)>, String> {
        let answer = crate::support::http::ask(&self.kennel.socket(), "GET", "/v1/status");
        let answer = answer.map_err(|error| format!("no status: {error}"))?;
        let status: serde_json::Value =
            serde_json::from_str(&answer.body).map_err(|error| error.to_string())?;
        let services = status["services"].as_array().ok_or("no services")?;
        let of = |service: &serde_json::Value| {
            let state = service["state"].as_str()?.to_owned();
            Some((service["name"].as_str()?.to_owned(), (state, service["pid"].as_i64())))
        };
        Ok(services.iter().filter_map(of).collect())
    }

    /// Every line that a writer numbered is in its log once, in its order.
    fn lines_are_there(&self, written: &[(&str, BTreeMap<u64, u64>)]) -> Result<(), String> {
        for (name, written) in written {
            let mut expected: BTreeMap<u64, u64> = BTreeMap::new();
            let text = self.kennel.read(&format!("state/logs/{}.log", name.replace('/', ".")));
            // The last line may be half written.
            let whole = text.rfind('\n').map_or("", |end| &text[..end]);
            // A line may come in pieces when the disk is full, and the last one not to its end.
            for line in lines_of(whole, "stdout") {
                let Some((_, numbers)) = line.rsplit_once("line ") else { continue };
                let mut numbers = numbers.split(' ').map(str::parse::<u64>);
                let (Some(Ok(run)), Some(Ok(number))) = (numbers.next(), numbers.next()) else {
                    return Err(format!("{name}: a torn line: {line}"));
                };
                let next = expected.entry(run).or_insert(1);
                if number != *next {
                    return Err(format!("{name}: line {number} of run {run}, not {next}"));
                }
                *next += 1;
            }
            for (run, last) in written {
                let there = expected.get(run).map_or(0, |next| next - 1);
                if there < *last && !self.frail.contains(&((*name).to_owned(), *run)) {
                    return Err(format!("{name}: {there} of {last} lines of run {run}"));
                }
            }
        }
        Ok(())
    }

    /// Events are numbered one by one, and never begin anew.
    fn events_have_no_hole(&self, last_seq: &mut u64) -> Result<(), String> {
        let target = "/v1/events?follow=false&format=ndjson";
        let answer = crate::support::http::ask(&self.kennel.socket(), "GET", target);
        let answer = answer.map_err(|error| format!("no events: {error}"))?;
        let mut before: Option<u64> = None;
        for line in answer.body.lines() {
            let event: serde_json::Value =
                serde_json::from_str(line).map_err(|error| error.to_string())?;
            let Some(seq) = event["seq"].as_u64() else {
                return Err(format!("no number: {line}"));
            };
            if before.is_some_and(|before| seq != before + 1) {
                return Err(format!("event {seq} after {before:?}"));
            }
            before = Some(seq);
        }
        let last = before.unwrap_or(0);
        if last < *last_seq {
            return Err(format!("the last event is {last}, and {last_seq} was seen"));
        }
        *last_seq = last;
        Ok(())
    }
}

/// A stray may lead a session: it is no main process.
fn is_stray(process: &Process) -> bool {
    process.command.contains("stray.sh")
}
