//! Health checks end to end: real servers, real commands, and what follows from what they say.

mod budgets;
mod commands;
mod grace;
mod outcomes;
#[cfg(feature = "plugins")]
mod plugins;
mod progress;
#[cfg(feature = "plugins")]
mod rqlite;
mod servers;
mod spread;
mod usage;

use serde_json::Value;

use crate::support::servers::free_port;
use crate::support::{BOUND, Kennel, needs_program, openmetrics, wait_for};

/// Whether the test has to be left out because there is no Python.
fn needs_python() -> bool {
    needs_program("python3")
}

/// A supervisor, not started, with a server `web` that answers what the test says. `health`
/// are its checks, where `URL` stands for its address; `keys` are more keys of the service.
fn kennel_with_server(health: &str, keys: &str) -> Kennel {
    let kennel = Kennel::new("");
    kennel.configure(&server(&kennel, health, keys));
    kennel
}

/// The configuration of [`kennel_with_server`].
fn server(kennel: &Kennel, health: &str, keys: &str) -> String {
    kennel.write("server.py", include_str!("server.py"));
    let port = free_port();
    let health = health.replace("URL", &format!("http://127.0.0.1:{port}"));
    format!(
        "services:\n  web:\n    command: [/usr/bin/python3, server.py, \"{port}\"]\n    \
         ready: {{ log: listening }}\n    health: {health}\n    \
         restart: {{ backoff: {{ initial: 50ms, max: 50ms }}, limit: none }}\n    {keys}\n"
    )
}

impl Kennel {
    /// What the server answers from now on, a word for each request.
    fn answers(&self, words: &str) {
        self.write("mood.new", words);
        std::fs::rename(self.path("mood.new"), self.path("mood")).expect("ours");
    }

    /// Which words each of the server's runs was asked for, in order.
    fn asked(&self) -> Vec<Vec<String>> {
        let mut runs: Vec<(String, Vec<String>)> = Vec::new();
        for line in self.read("requests").lines() {
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let word = rest.split(' ').next().unwrap_or_default().to_owned();
            match runs.iter_mut().find(|(known, _)| known == pid) {
                Some((_, words)) => words.push(word),
                None => runs.push((pid.to_owned(), vec![word])),
            }
        }
        runs.into_iter().map(|(_, words)| words).collect()
    }

    /// Waits until a service is up with this health, for a reason like this.
    #[track_caller]
    fn wait_for_verdict(&self, name: &str, health: &str, reason: &str) -> Value {
        wait_for(&format!("{name} to be {health}: {reason}"), BOUND, || {
            let service = self.service(name);
            let told = service["reason"].as_str().unwrap_or_default();
            (service["health"] == health && told.contains(reason)).then_some(service)
        })
    }

    /// How often a check of a service had this outcome.
    fn answers_of(&self, service: &str, check: &str, outcome: &str) -> f64 {
        let series = openmetrics::parse(&self.api("GET", "/metrics").body).expect("metrics");
        let labels = format!(
            "service=\"{service}\",instance=\"{service}\",check=\"{check}\",outcome=\"{outcome}\""
        );
        series.get(&format!("kennel_check_answers_total{{{labels}}}")).copied().unwrap_or(0.0)
    }

    #[track_caller]
    fn wait_for_answers(&self, service: &str, check: &str, outcome: &str, least: f64) {
        wait_for(&format!("{least} answers of {check}: {outcome}"), BOUND, || {
            (self.answers_of(service, check, outcome) >= least).then_some(())
        });
    }

    /// Every change of a service's health: `unknown>healthy`, and the sentence.
    fn changes(&self, service: &str) -> Vec<(String, String)> {
        let change = |event: Value| {
            let word = |name: &str| event["attributes"][name].as_str().unwrap().to_owned();
            let message = event["message"].as_str().unwrap().to_owned();
            (format!("{}>{}", word("from"), word("to")), message)
        };
        self.events_of("health.changed", service).into_iter().map(change).collect()
    }

    /// Waits for the end of a run: how it ended, and how long it had lasted.
    #[track_caller]
    fn wait_for_ends(&self, service: &str, count: usize) -> Vec<u64> {
        wait_for(&format!("{count} ends of {service}"), BOUND, || {
            let ends = self.events_of("service.exited", service);
            let uptime = |event: &Value| event["attributes"]["uptime_ms"].as_u64().unwrap();
            (ends.len() >= count).then(|| ends.iter().map(uptime).collect())
        })
    }

    /// Ends the supervisor; nothing may be left.
    #[track_caller]
    fn end(mut self) {
        assert_eq!(self.terminate(), 0);
        self.assert_nothing_is_left();
    }
}
