//! What stands under `config:`.

use kennel_plugin::Secret;
use kennel_plugin::prelude::*;

/// The configuration.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where the server is.
    pub address: Address,
    /// Who logs in. None: it is enough that the server asks who we are.
    pub user: Option<String>,
    /// With what, where the server wants a password.
    pub password: Option<Secret>,
    /// The database to connect to; none is `postgres`.
    pub database: Option<String>,
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
    /// How far a standby may be behind.
    pub max_lag: Option<Period>,
    /// A statement that has to succeed.
    pub query: Option<String>,
}

/// What a server has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Either is fine.
    #[default]
    Any,
    /// It takes writes.
    Primary,
    /// It replays what a primary wrote.
    Standby,
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
        if self.user.is_none() {
            for (set, key) in [
                (self.password.is_some(), "password"),
                (self.database.is_some(), "database"),
                (self.role != Role::Any, "role"),
                (self.max_lag.is_some(), "max_lag"),
                (self.query.is_some(), "query"),
            ] {
                problems.require(!set, key, "needs somebody who logs in: set \"user\"");
            }
        }
        for (text, key) in [
            (self.user.as_deref(), "user"),
            (self.password.as_ref().map(|secret| secret.0.as_str()), "password"),
            (self.database.as_deref(), "database"),
            (self.query.as_deref(), "query"),
        ] {
            let Some(text) = text else { continue };
            problems.require(!text.is_empty(), key, "is empty; leave it out");
            problems.require(!text.contains('\0'), key, "may not contain a zero byte");
        }
        if self.tls {
            let tcp = self.address.host().is_some();
            problems.require(tcp, "tls", "is not spoken over a Unix socket");
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
            "is about standbys, and \"role\" says primary",
        );
        problems.into_result()
    }

    /// Who we say we are.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or("kennel")
    }

    /// The database we ask for.
    pub fn database(&self) -> &str {
        self.database.as_deref().unwrap_or("postgres")
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
