//! The raw keys of plugins, sinks and failover.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{RawCommand, RawDuration, RawSize};

/// A plugin and what it may do.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Plugin")]
pub(in super::super) struct RawPlugin {
    /// Where the plugin comes from: stock:NAME for one that ships with Kennel, or a path
    /// to a .wasm file.
    pub(in super::super) source: Option<String>,
    /// The SHA-256 that the file has to have, in hexadecimal. Default: any.
    pub(in super::super) sha256: Option<String>,
    /// What the plugin may reach. Everything else is denied; the plugin's request and
    /// this grant are both needed.
    pub(in super::super) grants: Option<RawGrants>,
    /// How much time and memory one call may take.
    pub(in super::super) limits: Option<RawPluginLimits>,
    /// What follows when the plugin fails. Default: default (a check is unknown, a policy
    /// leaves the built-in decision, events stay in the journal).
    pub(in super::super) on_fault: Option<RawOnFault>,
}

/// What a plugin may reach.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "PluginGrants")]
pub(in super::super) struct RawGrants {
    /// Addresses as host:port or CIDR:port, the port may be *; checked after name
    /// resolution. Default: none.
    pub(in super::super) net: Option<Vec<String>>,
    /// Origins such as https://hooks.example.com. Default: none.
    pub(in super::super) http: Option<Vec<String>>,
    /// Paths of Unix sockets; relative ones, also those that the plugin asks for, are
    /// relative to this file. Default: none.
    pub(in super::super) unix: Option<Vec<String>>,
    /// As an event sink, append to these files; relative ones, also those that the plugin
    /// asks for, are relative to this file. Default: none.
    pub(in super::super) files: Option<Vec<String>>,
    /// Run commands as the service's user and with its environment. Default: false.
    pub(in super::super) exec: Option<bool>,
    /// As a restart policy, declare a service failed. Default: false.
    pub(in super::super) give_up: Option<bool>,
}

/// How much one call of a plugin may take.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "PluginLimits")]
pub(in super::super) struct RawPluginLimits {
    /// Wall-clock time of one call. Default: 5s.
    pub(in super::super) time: Option<RawDuration>,
    /// Processor time of one call. Default: 250ms.
    pub(in super::super) cpu: Option<RawDuration>,
    /// Memory. Default: 32MiB.
    pub(in super::super) memory: Option<RawSize>,
}

/// What follows when a plugin fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "OnFault")]
pub(in super::super) enum RawOnFault {
    /// As if there were no plugin.
    Default,
}

/// Where events go.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Sink")]
pub(in super::super) struct RawSink {
    /// Names the sink; what it was given last is remembered under this name. Default: the
    /// plugin's name.
    pub(in super::super) name: Option<String>,
    /// The plugin that takes the events.
    pub(in super::super) plugin: Option<String>,
    /// Kinds of events, patterns such as service.* are allowed. Default: all.
    pub(in super::super) events: Option<Vec<String>>,
    /// Handed to the plugin as it is.
    pub(in super::super) config: Option<serde_json::Value>,
    /// true: without the plugin Kennel does not start. Default: false.
    pub(in super::super) required: Option<bool>,
}

/// Several supervisors of which one leads.
#[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Failover")]
pub(in super::super) struct RawFailover {
    /// How they agree on a leader: file on one machine, etcd across machines.
    pub(in super::super) backend: Option<RawBackend>,
    /// file: the directory that the instances share. Default: NAME.failover beside the
    /// state directory.
    pub(in super::super) dir: Option<String>,
    /// etcd: the addresses of the cluster.
    pub(in super::super) endpoints: Option<Vec<String>>,
    /// etcd: the key that the leader holds. Default: /kennel/NAME.
    pub(in super::super) key: Option<String>,
    /// How long leadership outlives the last heartbeat; one is sent every third of it.
    /// Default: 15s.
    pub(in super::super) ttl: Option<RawDuration>,
    /// Whether failover is on; can be switched at run time. Default: true.
    pub(in super::super) enabled: Option<bool>,
    /// A command to run when this supervisor becomes the leader. Default: none.
    pub(in super::super) on_promote: Option<RawCommand>,
    /// A command to run when it is the leader no more. Default: none.
    pub(in super::super) on_demote: Option<RawCommand>,
}

/// How supervisors agree on a leader.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "FailoverBackend")]
pub(in super::super) enum RawBackend {
    /// A kernel lock on a file.
    File,
    /// A lease in etcd.
    Etcd,
}
