//! What the supervisor of a test knows: its status and its events, looked at and waited for.

use serde_json::Value;

use super::Kennel;
use super::http::{self, Answer};
use super::process::Process;
use super::wait::{BOUND, wait_for};

impl Kennel {
    /// Asks the API.
    #[track_caller]
    pub(crate) fn api(&self, method: &str, target: &str) -> Answer {
        http::ask(&self.socket(), method, target).expect("the control socket answers")
    }

    /// Everything, as `status --json` gives it.
    #[track_caller]
    pub(crate) fn status(&self) -> Value {
        let answer = self.api("GET", "/v1/status");
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_str(&answer.body).expect("the status is JSON")
    }

    /// One instance.
    #[track_caller]
    pub(crate) fn service(&self, name: &str) -> Value {
        let status = self.status();
        let services = status["services"].as_array().expect("services are a list");
        let found = services.iter().find(|service| service["name"] == name);
        found.unwrap_or_else(|| panic!("no service {name} in {status:#}")).clone()
    }

    /// The pid of an instance's main process. The process may be quicker with what it does than
    /// the supervisor is with learning its pid, so this waits.
    #[track_caller]
    pub(crate) fn pid(&self, name: &str) -> i32 {
        let pid = wait_for(&format!("{name} to have a pid"), BOUND, || {
            self.service(name)["pid"].as_i64()
        });
        pid as i32
    }

    /// The main process of an instance.
    #[track_caller]
    pub(crate) fn process(&self, name: &str) -> Process {
        Process::find(self.pid(name)).expect("the main process runs")
    }

    /// Waits until an instance is in this state.
    #[track_caller]
    pub(crate) fn wait_for_state(&self, name: &str, state: &str) -> Value {
        wait_for(&format!("{name} to be {state}"), BOUND, || {
            Some(self.service(name)).filter(|service| service["state"] == state)
        })
    }

    /// Waits until an instance is up with another process than `before`.
    #[track_caller]
    pub(crate) fn wait_for_new_run(&self, name: &str, before: &Process) -> Process {
        wait_for(&format!("{name} to be up again"), BOUND, || {
            let service = self.service(name);
            let pid = service["pid"].as_i64()? as i32;
            (service["state"] == "up").then(|| Process::find(pid))?.filter(|now| now != before)
        })
    }

    /// All events so far.
    #[track_caller]
    pub(crate) fn events(&self) -> Vec<Value> {
        let answer = self.api("GET", "/v1/events?follow=false&format=ndjson");
        let event = |line: &str| serde_json::from_str(line).expect("an event is JSON");
        answer.body.lines().map(event).collect()
    }

    /// The events of this kind and service.
    #[track_caller]
    pub(crate) fn events_of(&self, kind: &str, service: &str) -> Vec<Value> {
        let mut events = self.events();
        events.retain(|event| event["kind"] == kind && event["service"] == service);
        events
    }

    /// Waits for the first event of this kind and service.
    #[track_caller]
    pub(crate) fn wait_for_event(&self, kind: &str, service: &str) -> Value {
        wait_for(&format!("{kind} of {service}"), BOUND, || {
            self.events_of(kind, service).into_iter().next()
        })
    }

    /// The number of the first event of this kind and service.
    #[track_caller]
    pub(crate) fn seq(&self, kind: &str, service: &str) -> u64 {
        self.wait_for_event(kind, service)["seq"].as_u64().expect("events have numbers")
    }
}
