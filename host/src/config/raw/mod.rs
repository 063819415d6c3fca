//! The keys of `services.yaml`, one field each, and nothing but them.
//!
//! These types say what may be written; the checked types say what it means. Every field
//! is optional, so that one can be left out after an error (see `decode`). The comments
//! become the descriptions in the JSON Schema.

mod plugin;
mod scalar;
mod service;
mod words;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub(super) use plugin::{RawFailover, RawGrants, RawOnFault, RawPlugin, RawPluginLimits, RawSink};
pub(super) use scalar::{
    RawDuration, RawMode, RawPercent, RawRate, RawRlimit, RawSignal, RawSize, RawStatus, RawUmask,
    RlimitPair, Text,
};
pub(crate) use scalar::{duration, size};
pub(super) use service::*;
pub(super) use words::*;

/// The services that Kennel runs, and Kennel itself. Strings may use ${VAR} and
/// ${VAR:-default} from the supervisor's environment; $$ is a dollar sign. Relative paths
/// are relative to the file they stand in.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kennel services")]
pub(super) struct RawFile {
    /// The supervisor itself.
    pub(super) kennel: Option<RawKennel>,
    /// Environment variables for all services.
    pub(super) env: Option<BTreeMap<String, Text>>,
    /// Files of environment variables for all services. A later one wins, and `env` wins
    /// over them.
    pub(super) env_file: Option<OneOrMany>,
    /// Any key of a service; merged under each service. The mappings env, labels, limits,
    /// cgroup, depends_on, restart, stop, logs and rolling are merged key by key, all
    /// other values are replaced whole.
    pub(super) defaults: Option<RawService>,
    /// Plugin bindings by name.
    pub(super) plugins: Option<BTreeMap<String, RawPlugin>>,
    /// The services by name. A name is 1 to 64 letters, digits, dots, dashes and
    /// underscores, and does not start with a dot or a dash.
    pub(super) services: Option<BTreeMap<String, RawService>>,
    /// Where events go, besides the journal.
    pub(super) sinks: Option<Vec<RawSink>>,
    /// Several supervisors of which one leads.
    pub(super) failover: Option<RawFailover>,
}

/// The supervisor itself.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Supervisor")]
pub(super) struct RawKennel {
    /// Names the state directory and the socket. Default: the file's name without its
    /// extension.
    pub(super) name: Option<String>,
    /// Where the supervisor keeps what has to survive it. Default: /var/lib/kennel/NAME as
    /// root, else $XDG_STATE_HOME/kennel/NAME, else ~/.local/state/kennel/NAME.
    pub(super) state_dir: Option<String>,
    /// The control socket. Default: /run/kennel/NAME.sock as root, else
    /// $XDG_RUNTIME_DIR/kennel/NAME.sock, else kennel.sock in the state directory.
    pub(super) socket: Option<String>,
    /// An address such as 127.0.0.1:9800 for the API and metrics over TCP; needs token_file.
    /// Default: none.
    pub(super) listen: Option<String>,
    /// A file with the bearer token for TCP; refused when others may read it. Default:
    /// none.
    pub(super) token_file: Option<String>,
    /// How long an orderly shutdown may take; past this everything left is killed.
    /// Default: 60s.
    pub(super) shutdown_timeout: Option<RawDuration>,
    /// How many services may be starting at once. Default: 64.
    pub(super) max_concurrent_starts: Option<u32>,
    /// How many restarts a second across all services; smooths a mass crash. Those
    /// that fail without having been stable have three quarters of it at most. Default: 100.
    pub(super) max_restarts_per_second: Option<u32>,
    /// More files of services; patterns with * and ** are allowed. Default: none.
    pub(super) include: Option<Vec<String>>,
}
