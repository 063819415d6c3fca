//! What stands under `config:`.

use std::collections::BTreeMap;

use kennel_plugin::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is.
    pub address: Address,
    /// Whose health is asked for; empty is the server's as a whole.
    #[serde(default)]
    pub service: String,
    /// Whether to speak TLS.
    #[serde(default)]
    pub tls: bool,
    /// The name on the certificate; none is the host of `address`.
    pub tls_server_name: Option<String>,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// Sent along with each call: `authorization`, …
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// What a service is that says it does not serve.
    #[serde(default)]
    pub on_not_serving: NotServing,
}

/// What a service is that says it does not serve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotServing {
    /// It counts as a failure.
    #[default]
    Unhealthy,
    /// It is shown, and not restarted.
    Degraded,
}

impl Config {
    /// Everything that does not go together.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::new();
        problems.require(
            self.address.host().is_some(),
            "address",
            "is a Unix socket, and the check needs host:port",
        );
        if !self.tls {
            for (set, key) in [
                (self.tls_server_name.is_some(), "tls_server_name"),
                (self.ca_file.is_some(), "ca_file"),
            ] {
                problems.require(!set, key, "is of no use without \"tls: true\"");
            }
        }
        for (name, value) in &self.metadata {
            let path = format!("metadata.{name}");
            if let Some(what) = wrong_name(name) {
                problems.add(path.as_str(), what);
            }
            problems.require(
                value.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
                &path,
                "may hold printable ASCII only",
            );
        }
        problems.into_result()
    }
}

/// Why a name cannot be one of metadata.
fn wrong_name(name: &str) -> Option<&'static str> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
    if name.is_empty() || !name.chars().all(allowed) {
        return Some("names are of lower-case letters, digits, \"-\", \"_\" and \".\"");
    }
    let ours = ["te", "content-type", "user-agent", "host"].contains(&name);
    (ours || name.starts_with("grpc-")).then_some("is set by the protocol")
}
