//! The raw keys of a service.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::words::*;
use super::{
    RawDuration, RawMode, RawPercent, RawRate, RawRlimit, RawSignal, RawSize, RawStatus, RawUmask,
    Text,
};

macro_rules! raw {
    ($($(#[$doc:meta])* struct $name:ident = $title:tt {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Default, Debug, Deserialize, JsonSchema)]
        #[schemars(rename = $title)]
        pub(in super::super) struct $name {
            $($(#[$field_doc])* pub(in super::super) $field: Option<$type>,)*
        }
    )*};
}

raw! {
    /// A service.
    struct RawService = "Service" {
        /// What to run: a list of program and arguments, or one string that is split as a
        /// shell would, without running one. Exactly one of command and shell is needed.
        command: RawCommand,
        /// What to run, as a line for /bin/sh -c. ${X} is replaced when the file is read;
        /// $X and $${X} are left to the shell.
        shell: String,
        #[serde(rename = "type")]
        /// daemon runs until it is stopped; oneshot is done when it exits with 0. Default:
        /// daemon.
        kind: RawKind,
        /// Whether it is started with the supervisor; false: known and shown, not started.
        /// Default: true.
        enabled: bool,
        /// How many instances run. Those of web are then web/0, web/1 and so on, and
        /// KENNEL_INSTANCE is set. Default: 1.
        replicas: u32,
        /// Words for people and tools, shown in the status. Default: none.
        labels: BTreeMap<String, Text>,
        /// The directory it runs in. Default: that of this file.
        working_dir: String,
        /// Environment variables. Wins over env_file and the file's env. Default: none.
        env: BTreeMap<String, Text>,
        /// Files of environment variables; a later one wins. Default: none.
        env_file: OneOrMany,
        /// User name or number to run as; sets the group, the supplementary groups, HOME
        /// and USER too. Default: the supervisor's.
        user: Text,
        /// Group name or number. Default: the user's.
        group: Text,
        /// File mode creation mask in octal. Default: the supervisor's.
        umask: RawUmask,
        /// Resource limits, see getrlimit(2). Default: the supervisor's.
        limits: RawLimits,
        /// Scheduling priority, -20 (first) to 19 (last). Default: the supervisor's.
        nice: i32,
        /// How readily the kernel kills it when memory runs out, -1000 (never) to 1000.
        /// Default: the supervisor's.
        oom_score_adj: i32,
        /// Limits for all its processes together, where cgroup v2 is writable. Default:
        /// none.
        cgroup: RawCgroup,
        /// Addresses such as tcp://127.0.0.1:8080, udp://[::1]:53 or unix:web.sock that
        /// Kennel opens when the service first starts, and keeps over restarts: who connects
        /// meanwhile waits. The service gets them by LISTEN_FDS, see sd_listen_fds(3); its
        /// replicas share them. Default: none.
        sockets: Vec<RawSocket>,
        /// Services that have to be there first. Default: none.
        depends_on: RawDependsOn,
        /// all, or leader: only while this supervisor leads. Default: all.
        run_on: RawRunOn,
        /// How it is known to be ready. Default: ready once it has run for 1s.
        ready: RawReady,
        /// Health checks, a list or one. Default: none.
        health: RawHealthChecks,
        /// The service must send WATCHDOG=1 at least that often, see sd_notify(3); else it
        /// gets SIGABRT, then the stop steps. Needs ready: { notify: systemd }. Default: none.
        watchdog: RawDuration,
        /// A budget for getting up, apart from restarts after crashes. Default: none.
        start: RawStart,
        /// What happens when it ends by itself.
        restart: RawRestart,
        /// How it is ended.
        stop: RawStop,
        /// How its replicas restart.
        rolling: RawRolling,
        /// What happens to its output.
        logs: RawLogs,
    }

    /// Resource limits: a number, unlimited, or soft:hard. See getrlimit(2).
    struct RawLimits = "ResourceLimits" {
        #[serde(rename = "as")]
        /// Address space in bytes.
        address_space: RawRlimit,
        /// Size of a core file in bytes; 0 for none.
        core: RawRlimit,
        /// Processor time in seconds.
        cpu: RawRlimit,
        /// Data segment in bytes.
        data: RawRlimit,
        /// Size of a file in bytes.
        fsize: RawRlimit,
        /// File locks.
        locks: RawRlimit,
        /// Locked memory in bytes.
        memlock: RawRlimit,
        /// POSIX message queues in bytes.
        msgqueue: RawRlimit,
        /// Ceiling of the nice value, as 20 - nice.
        nice: RawRlimit,
        /// Open files.
        nofile: RawRlimit,
        /// Processes of the user.
        nproc: RawRlimit,
        /// Resident memory in bytes; without effect on today's kernels.
        rss: RawRlimit,
        /// Ceiling of the real-time priority.
        rtprio: RawRlimit,
        /// Processor time of a real-time process without a blocking call, in microseconds.
        rttime: RawRlimit,
        /// Queued signals.
        sigpending: RawRlimit,
        /// Stack in bytes.
        stack: RawRlimit,
    }

    /// Limits for all processes of a service together.
    struct RawCgroup = "ControlGroup" {
        /// Memory, such as 512MiB. Default: no limit.
        memory_max: RawSize,
        /// Processor share, 100% is one processor. Default: no limit.
        cpu_max: RawPercent,
        /// Number of processes and threads. Default: no limit.
        pids_max: u32,
    }

    /// A socket in its long form.
    struct RawSocketLong = "Socket" {
        /// Its address: tcp://ADDRESS:PORT, udp://ADDRESS:PORT, unix:PATH, or unix:@NAME
        /// for one that is no file.
        listen: String,
        /// How the service knows it, by LISTEN_FDNAMES. Default: tcp-PORT, udp-PORT, or the
        /// name of the file.
        name: String,
        /// How many connections may wait to be accepted; net.core.somaxconn is the upper
        /// bound. Default: 4096.
        backlog: u32,
        /// Who may connect to a Unix socket, in octal; its file belongs to the service's
        /// user. Default: 0600.
        mode: RawMode,
    }

    /// A dependency in its long form.
    struct RawDependencyLong = "Dependency" {
        #[serde(rename = "for")]
        /// What it has to have reached. Default: ready.
        condition: RawCondition,
        /// false: wait for it while it is on its way, but go on without it. Default: true.
        required: bool,
    }

    /// How a service is known to be ready. One kind of check.
    struct RawReady = "Ready" {
        /// The service says so: systemd for READY=1 of sd_notify(3), or { fd: 3 } for a
        /// newline on that file descriptor.
        notify: RawNotify,
        /// A URL that answers with 200 to 399.
        http: String,
        /// An address host:port that accepts a connection.
        tcp: String,
        /// A Unix socket that accepts a connection.
        unix: String,
        /// A regular expression that matches a line of output.
        log: String,
        /// A command that exits with 0.
        command: RawCommand,
        /// A plugin that says healthy.
        plugin: String,
        /// Handed to the plugin as it is.
        config: serde_json::Value,
        /// true: without the plugin the service does not start. Default: false.
        required: bool,
        /// A file of certificate authorities in PEM for http, beside the system's. Default:
        /// none.
        ca_file: String,
        /// Time between two tries. Default: 250ms.
        every: RawDuration,
        /// Not ready in time is a failed start. Default: 60s.
        timeout: RawDuration,
    }

    /// A file descriptor on which the service tells that it is ready.
    struct RawNotifyFd = "NotifyByDescriptor" {
        /// The descriptor's number in the service, 3 to 1023.
        fd: u32,
    }

    /// A health check. One kind of check.
    struct RawHealth = "HealthCheck" {
        /// Names it in the status and in events. Default: its kind, of a plugin the
        /// plugin's name, with a number where there are several.
        name: String,
        /// A URL to ask.
        http: String,
        /// An address host:port that accepts a connection.
        tcp: String,
        /// A Unix socket that accepts a connection.
        unix: String,
        /// A command that exits with 0.
        command: RawCommand,
        /// Memory that all its processes together may have resident, such as 400MiB; a page
        /// that several share counts for each.
        memory_max: RawSize,
        /// Processor time of all its processes together, 100% is one processor; the share
        /// between two looks.
        cpu_max: RawPercent,
        #[serde(rename = "for")]
        /// With memory_max and cpu_max: more than that for so long, at every look, is a
        /// failure. Default: 1m.
        lasting: RawDuration,
        /// A plugin to ask.
        plugin: String,
        /// Handed to the plugin as it is.
        config: serde_json::Value,
        /// true: without the plugin the service does not start. Default: false.
        required: bool,
        /// A file of certificate authorities in PEM for http, beside the system's. Default:
        /// none.
        ca_file: String,
        /// What a good answer to http is.
        expect: RawExpect,
        /// Time between two checks. Default: 10s.
        every: RawDuration,
        /// An answer that takes longer is late. Default: 3s.
        timeout: RawDuration,
        /// Definite failures in a row that make it unhealthy. Default: 3; with memory_max and
        /// cpu_max 1, since "for" is the patience there.
        failures: u32,
        /// Late answers in a row that make it unhealthy; it is degraded from the first.
        /// Default: 6.
        timeouts: u32,
        /// Good answers in a row that make it healthy again. Default: 1.
        successes: u32,
        /// Failures do not count until the first success or until this has passed, anew at
        /// every start. Default: 10s.
        grace: RawDuration,
        /// restart it, or only report. Default: restart.
        on_unhealthy: RawOnUnhealthy,
    }

    /// What a good answer to an HTTP check is.
    struct RawExpect = "ExpectedAnswer" {
        /// Status codes, such as 200-399 (the default) or 200-299,404.
        status: RawStatus,
        /// A regular expression that the body matches. Default: any body.
        body: String,
    }

    /// What happens when a service ends by itself.
    struct RawRestart = "Restart" {
        /// always, on_failure or never. Default: always.
        policy: RawPolicy,
        /// Exit codes that are success. Default: [0].
        success_exit_codes: Vec<i32>,
        /// How long to wait between restarts. The first failure after a stable run
        /// restarts at once.
        backoff: RawBackoff,
        /// How many restarts are too many, or none. Default: { max: 10, within: 10m }.
        limit: RawRestartLimit,
        /// Ready and healthy for that long, a run is stable and the counters forget.
        /// Default: 30s.
        reset_after: RawDuration,
        /// What follows when the limit is reached: stay failed, exit (the supervisor, with
        /// code 1), resign leadership, or { retry_after: 10m }. Default: stay.
        on_give_up: RawOnGiveUp,
        /// Whether services that require it restart with it. Default: false.
        restart_dependents: bool,
        /// A plugin that is asked while the built-in delay already runs. Default: none.
        policy_plugin: RawPolicyPlugin,
    }

    /// How often it may fail to become ready. Such failures do not count for restart.limit;
    /// the budget is whole again as soon as it is ready. Of a oneshot only what keeps its
    /// process from being made counts.
    struct RawStart = "StartAttempts" {
        /// Attempts in a row; the failure of the last one gives up. Default: 5.
        attempts: u32,
        /// How long to wait between two of them. Default: 1s, doubled up to 8s, ± 10%.
        backoff: RawBackoff,
        /// stay (failed), exit (the supervisor, with 1), or { retry_after: 10m }. Default:
        /// stay.
        on_give_up: RawOnGiveUp,
    }

    /// How the wait between restarts grows.
    struct RawBackoff = "Backoff" {
        /// The first wait. Default: 1s.
        initial: RawDuration,
        /// What each wait is multiplied by, at least 1. Default: 2.
        factor: f64,
        /// No wait is longer. Default: 60s; of start: 8s.
        max: RawDuration,
        /// By how much each wait varies at random, 0% to 100%. Default: 10%.
        jitter: RawPercent,
    }

    /// How many restarts are too many.
    struct RawLimit = "RestartLimit" {
        /// Restarts in the window that are still fine; the next failure gives up. Default:
        /// 10.
        max: u32,
        /// The window. Default: 10m.
        within: RawDuration,
    }

    /// Giving up for a while.
    struct RawRetryAfter = "RetryAfter" {
        /// How long it stays failed before it is tried again.
        retry_after: RawDuration,
    }

    /// A restart policy from a plugin.
    struct RawPolicyPlugin = "PolicyPlugin" {
        /// The plugin's name.
        plugin: String,
        /// Handed to the plugin as it is.
        config: serde_json::Value,
        /// true: without the plugin the service does not start. Default: false.
        required: bool,
    }

    /// How a service is ended.
    struct RawStop = "Stop" {
        /// A command that runs first; it may take as long as the first step waits.
        /// Default: none.
        command: RawCommand,
        /// Signals to the whole process group, each with a wait. SIGKILL always follows.
        /// Default: [{ signal: SIGTERM, wait: 10s }].
        steps: Vec<RawStopStep>,
    }

    /// One signal on the way to the end.
    struct RawStopStep = "StopStep" {
        /// The signal.
        signal: RawSignal,
        /// How long to wait for the end before the next step. Default: 10s.
        wait: RawDuration,
    }

    /// How replicas restart: on `kennel restart --rolling`, and when a reload replaces them.
    struct RawRolling = "RollingRestart" {
        /// How many may be unavailable at once, those included that are so for other
        /// reasons. Default: 1.
        max_unavailable: u32,
        /// What an instance has to be before the next one restarts. Default: healthy.
        wait_for: RawWaitFor,
        /// If nothing comes up for so long, the rest keep running as they are. Default: 10m.
        timeout: RawDuration,
    }

    /// What happens to the output, stdout and stderr both.
    struct RawLogs = "Logs" {
        /// file, inherit (the supervisor's own output) or none. Default: file.
        to: RawLogTarget,
        /// A file that has become that large is rotated. Default: 10MiB.
        max_size: RawSize,
        /// How many rotated files are kept. Default: 5.
        keep: u32,
        /// Whether each line gets the time. Default: true.
        timestamps: bool,
        /// Over this rate lines are dropped and counted, such as 10MiB/s. Default: none.
        rate_limit: RawRate,
    }
}
