//! What stands under `config:`.

use kennel_plugin::prelude::*;
use kennel_plugin::{Secret, Url};

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the node's HTTP API is: `http://127.0.0.1:4001`.
    pub url: Url,
    /// Who asks; needs the permissions `ready` and, for samples and the role, `status`.
    pub username: Option<String>,
    /// With which password.
    pub password: Option<Secret>,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// The name on the certificate; none is the host of `url`.
    pub tls_server_name: Option<String>,
    /// What the node has to be.
    #[serde(default)]
    pub role: Role,
    /// What a node of another role is.
    #[serde(default)]
    pub on_wrong_role: Wrong,
    /// Whether a node has to have caught up with its leader.
    #[serde(default)]
    pub sync: bool,
    /// Of how many nodes the cluster has to be.
    #[serde(default)]
    pub min_nodes: u32,
}

/// What a node has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Either is fine.
    #[default]
    Any,
    /// It leads.
    Leader,
    /// It follows.
    Follower,
}

/// What a node of the wrong role is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wrong {
    /// It is shown, and not restarted.
    #[default]
    Degraded,
    /// It counts as a failure.
    Unhealthy,
}

impl Config {
    /// Everything that does not go together.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::new();
        let plain = !self.url.target().contains(['?', '#']);
        problems.require(plain, "url", "may not have a query or a fragment");
        problems.require(
            self.username.is_some() || self.password.is_none(),
            "password",
            "needs somebody whose it is: set \"username\"",
        );
        problems.require(
            self.password.is_some() || self.username.is_none(),
            "username",
            "needs a password too: set \"password\"",
        );
        let colon = self.username.as_ref().is_some_and(|name| name.contains(':'));
        problems.require(!colon, "username", "may not contain \":\"");
        if !self.url.as_str().starts_with("https://") {
            for (set, key) in [
                (self.tls_server_name.is_some(), "tls_server_name"),
                (self.ca_file.is_some(), "ca_file"),
            ] {
                problems.require(!set, key, "is of no use without a https:// URL");
            }
        }
        problems.into_result()
    }

    /// The address of something below the node's API.
    pub fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url.as_str().trim_end_matches('/'))
    }

    /// Whether `/status` has to answer.
    pub fn needs_status(&self) -> bool {
        self.role != Role::Any || self.min_nodes > 0
    }
}
