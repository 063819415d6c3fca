//! What identifies the definition that a process was made of.
//!
//! A supervisor that finds a process of an earlier one cannot compare two configurations:
//! it has one of them and the digest of the other. What is in it is what a reload would
//! start a process anew for ([`plan`](super::plan())). A key that is not set adds nothing, so
//! that one which a later version knows changes no digest.

use sha2::{Digest as _, Sha256};

use crate::os::CgroupLimits;

use super::launch::{Command, LaunchConfig};
use super::notify::Notify;
use super::service::{LogConfig, LogTarget, ServiceConfig};
use super::sockets::SocketConfig;
use kennel_core::spec::Kind;

impl ServiceConfig {
    /// The same for definitions whose processes need not be replaced by each other's, and
    /// different for others: 32 hexadecimal digits.
    pub(crate) fn digest(&self) -> String {
        // What a reload changes in place is not taken.
        let ServiceConfig {
            spec,
            launch,
            ready,
            health: _,
            policy_plugin: _,
            own_policy: _,
            logs,
            stop_command: _,
            labels: _,
        } = self;
        let LaunchConfig {
            command,
            working_dir,
            env,
            user,
            group,
            umask,
            rlimits,
            nice,
            oom_score_adj,
            cgroup,
            sockets,
        } = launch;
        let LogConfig { to, max_size: _, keep: _, timestamps: _, rate_limit: _ } = logs;
        let mut sum = Sum(Sha256::new());
        match spec.kind {
            Kind::Daemon => {}
            Kind::Oneshot => sum.add("type", &["oneshot"]),
        }
        match command {
            Command::Argv(argv) => sum.add("command", argv),
            Command::Shell(line) => sum.add("shell", &[line]),
            // It never outlives its program.
            Command::Task(_) => sum.add("task", &[""]),
        }
        sum.add("working_dir", &[working_dir.as_os_str().as_encoded_bytes()]);
        for (name, value) in env {
            sum.add("env", &[name, value]);
        }
        sum.add_one("user", user.as_ref());
        sum.add_one("group", group.as_ref());
        sum.add_one("umask", umask.as_ref());
        for limit in rlimits {
            let (soft, hard) = (limit.soft.to_string(), limit.hard.to_string());
            sum.add("limits", &[limit.resource.name(), &soft, &hard]);
        }
        sum.add_one("nice", nice.as_ref());
        sum.add_one("oom_score_adj", oom_score_adj.as_ref());
        let CgroupLimits { memory_max, cpu_max, pids_max } = cgroup;
        sum.add_one("cgroup.memory_max", memory_max.as_ref());
        sum.add_one("cgroup.cpu_max", cpu_max.as_ref());
        sum.add_one("cgroup.pids_max", pids_max.as_ref());
        for SocketConfig { address, name, backlog, mode } in sockets {
            let (address, backlog) = (address.to_string(), backlog.to_string());
            sum.add("sockets", &[&address, name, &backlog, &mode.to_string()]);
        }
        match ready.notify() {
            None => {}
            Some(Notify::Systemd) => sum.add("notify", &["systemd"]),
            Some(Notify::Fd(number)) => sum.add("notify", &[number.to_string()]),
        }
        sum.add_one("watchdog", spec.watchdog.map(|every| every.as_nanos()).as_ref());
        match to {
            LogTarget::File => {}
            LogTarget::Inherit => sum.add("logs.to", &["inherit"]),
            LogTarget::None => sum.add("logs.to", &["none"]),
        }
        let sum = sum.0.finalize();
        sum.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
    }
}

struct Sum(Sha256);

impl Sum {
    fn add(&mut self, key: &str, values: &[impl AsRef<[u8]>]) {
        self.0.update(format!("{key} {}", values.len()));
        for value in values {
            let value = value.as_ref();
            // With its length, so that no value can look like two.
            self.0.update(format!(" {}:", value.len()));
            self.0.update(value);
        }
    }

    fn add_one(&mut self, key: &str, value: Option<&impl ToString>) {
        if let Some(value) = value {
            self.add(key, &[value.to_string()]);
        }
    }
}
