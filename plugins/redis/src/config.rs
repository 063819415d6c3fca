//! What stands under `config:`.

use kennel_plugin::Secret;
use kennel_plugin::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is.
    pub address: Address,
    /// Who logs in; none is the default user.
    pub username: Option<String>,
    /// With what; none does not log in.
    pub password: Option<Secret>,
    /// Whether to speak TLS.
    #[serde(default)]
    pub tls: bool,
    /// The name on the certificate; none is the host of `address`.
    pub tls_server_name: Option<String>,
    /// Certificate authorities to trust instead of the system's.
    pub ca_file: Option<String>,
    /// What the server has to be.
    #[serde(default)]
    pub role: Role,
    /// What a server of another role is.
    #[serde(default)]
    pub on_wrong_role: Wrong,
    /// For how long a replica may have heard nothing of its primary.
    pub max_lag: Option<Period>,
    /// How many replicas a primary has to have.
    #[serde(default)]
    pub min_replicas: u32,
}

/// What a server has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Either is fine.
    #[default]
    Any,
    /// It takes writes; redis itself says `master`.
    #[serde(alias = "master")]
    Primary,
    /// It copies a primary; redis itself says `slave`.
    #[serde(alias = "slave")]
    Replica,
}

/// What a server of the wrong role is.
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
        problems.require(
            self.username.is_none() || self.password.is_some(),
            "username",
            "needs a password too: set \"password\"",
        );
        problems.require(
            self.password.as_ref().is_none_or(|password| !password.0.is_empty()),
            "password",
            "is empty; leave it out to log in nobody",
        );
        if self.tls {
            let named = self.tls_server_name.is_some() || self.address.host().is_some();
            problems.require(
                named,
                "tls_server_name",
                "is needed for TLS over a Unix socket: the name on the certificate",
            );
        } else {
            for (set, key) in [
                (self.tls_server_name.is_some(), "tls_server_name"),
                (self.ca_file.is_some(), "ca_file"),
            ] {
                problems.require(!set, key, "is of no use without \"tls: true\"");
            }
        }
        problems.require(
            self.max_lag.is_none() || self.role != Role::Primary,
            "max_lag",
            "is about replicas, and \"role\" says primary",
        );
        problems.require(
            self.min_replicas == 0 || self.role != Role::Replica,
            "min_replicas",
            "is about a primary, and \"role\" says replica",
        );
        problems.into_result()
    }

    /// Whether what was configured cannot be told from `PING` alone.
    pub fn needs_info(&self) -> bool {
        self.role != Role::Any || self.max_lag.is_some() || self.min_replicas > 0
    }

    /// The name that has to stand on the certificate.
    pub fn server_name(&self) -> &str {
        self.tls_server_name.as_deref().or(self.address.host()).unwrap_or_default()
    }

    /// How TLS is to be spoken, for the host.
    pub fn tls_options(&self) -> Vec<(String, String)> {
        self.ca_file.iter().map(|file| ("tls.ca-file".to_owned(), file.clone())).collect()
    }
}
