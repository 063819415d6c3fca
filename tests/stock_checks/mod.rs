//! The stock health checks in the real supervisor, looking at real servers.

mod examples;
mod grpc;
mod http;
mod postgres;
mod redis;
mod rqlite;
mod tls;

use serde_json::Value;

use crate::support::{BOUND, Kennel, openmetrics, wait_for};

impl Kennel {
    /// Waits until a service is in this state and has this health, with a reason like this.
    #[track_caller]
    fn wait_for_health(&self, name: &str, state: &str, health: &str, reason: &str) -> Value {
        let what = format!("{name} to be {state} and {health}: {reason}");
        wait_for(&what, BOUND, || {
            let service = self.service(name);
            let told = service["reason"].as_str().unwrap_or_default();
            let there = service["state"] == state && service["health"] == health;
            (there && told.contains(reason)).then_some(service)
        })
    }

    /// What a plugin measured last.
    fn sample(&self, plugin: &str, service: &str, name: &str) -> Option<f64> {
        let series = openmetrics::parse(&self.api("GET", "/metrics").body).expect("metrics");
        let of = [("plugin", plugin), ("service", service), ("name", name)];
        let labels = of.map(|(label, value)| format!("{label}=\"{value}\""));
        let found = series.iter().find(|(key, _)| {
            key.starts_with("kennel_plugin_sample{")
                && labels.iter().all(|label| key.contains(label))
        });
        found.map(|(_, value)| *value)
    }

    #[track_caller]
    fn wait_for_sample(&self, plugin: &str, service: &str, name: &str, expected: f64) {
        wait_for(&format!("{name} of {service} to be {expected}"), BOUND, || {
            self.sample(plugin, service, name).filter(|value| *value == expected)
        });
    }
}
