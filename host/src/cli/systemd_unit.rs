//! `kennel systemd-unit`: a unit that runs the supervisor under systemd.
//!
//! What the unit is about: services outlive their supervisor, and the next one goes on with
//! them. So systemd must end the main process only (`KillMode=process`) and must come back
//! after every end that was not asked for. What stops services is the supervisor's orderly
//! shutdown, which has all the time that it is configured to take.
//!
//! Services live in the sandbox of the unit. What is taken away there is taken from all of
//! them, so only that is which hardly any service has a right to; and nothing that needs a
//! mount namespace of the unit's own, since each start would get another one, and services
//! that were adopted would not see what the new supervisor sees.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use super::{ExitKind, Failure, Global, Outcome};
use crate::config::{self, Config, DefaultPaths, Environment};
use crate::os::SUPERVISOR_CGROUP;

/// What the supervisor may need after its services have had their time: to write the last
/// output and events.
const LAST_WRITES: Duration = Duration::from_secs(30);

/// Options of `kennel systemd-unit`.
#[derive(clap::Args, Debug)]
pub(super) struct SystemdUnitArgs {
    /// A unit of the user's own service manager (systemctl --user), not of the system's
    #[arg(long)]
    user: bool,
}

/// Whose service manager it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Manager {
    System,
    User,
}

pub(super) fn systemd_unit(global: &Global, args: &SystemdUnitArgs) -> Outcome {
    let manager = if args.user { Manager::User } else { Manager::System };
    let mut environment = Environment::current();
    environment.is_root = match manager {
        Manager::System => true,
        Manager::User => environment.is_root,
    };
    let config = config::load(global.config(), &environment)?.config;
    let program = std::env::current_exe()?;
    let file = std::path::absolute(global.config())?;
    let socket = global.socket().map(std::path::absolute).transpose()?;
    let paths = Paths { program: &program, file: &file, socket: socket.as_deref() };
    write!(std::io::stdout(), "{}", unit(&config, &environment, paths, manager)?)?;
    Ok(ExitKind::Done)
}

#[derive(Clone, Copy)]
struct Paths<'a> {
    program: &'a Path,
    file: &'a Path,
    socket: Option<&'a Path>,
}

fn unit(
    config: &Config,
    environment: &Environment,
    paths: Paths<'_>,
    manager: Manager,
) -> Result<String, Failure> {
    let settings = &config.supervisor;
    let program = word(paths.program)?;
    let mut which = format!("-c {}", word(paths.file)?);
    if let Some(socket) = paths.socket {
        // Writing to a string cannot fail.
        let _ = write!(which, " --socket {}", word(socket)?);
    }
    let (where_to, of_user, target) = match manager {
        Manager::System => ("/etc/systemd/system", "", "multi-user.target"),
        Manager::User => ("~/.config/systemd/user", " --user", "default.target"),
    };
    let after = match manager {
        Manager::System => "After=network.target nss-user-lookup.target\n",
        Manager::User => "",
    };
    let name = &settings.name;
    let stop = (settings.shutdown_timeout + LAST_WRITES).as_secs();
    let directories = directories(config, environment, paths.socket, manager);
    let hardening = match manager {
        Manager::System => HARDENING,
        Manager::User => NO_HARDENING,
    };
    let has_limits = config.services.iter().any(|service| !service.launch.cgroup.is_empty());
    let subgroup = if has_limits {
        format!(
            "# Limits of services need this (systemd 254).\nDelegateSubgroup={SUPERVISOR_CGROUP}\n"
        )
    } else {
        String::new()
    };
    Ok(format!(
        "\
# kennel-{name}.service, for {where_to}; then
#   systemctl{of_user} daemon-reload
#   systemctl{of_user} enable --now kennel-{name}

[Unit]
Description=Kennel supervises \"{name}\"
{after}# Its services run on while it is away: it may always come back.
StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={program} run {which}
ExecReload={program} reload {which}

# A supervisor that dies, or whose loop is stuck, is started anew and goes on with the
# services that run. One that was told to shut down stays down.
Restart=on-failure
RestartSec=1s
WatchdogSec=30s

# Stopping is the supervisor's: in order, with the time that services need. Without it
# nothing of them is touched.
KillMode=process
TimeoutStopSec={stop}s

# One service that runs out of memory is not the end of all.
OOMPolicy=continue
TasksMax=infinity
# For a control group each service, with its own limits.
Delegate=yes
{subgroup}
StandardOutput=journal
StandardError=journal
{directories}
{hardening}
[Install]
WantedBy={target}
"
    ))
}

/// What services hardly ever have a right to. `user:` needs CAP_SETUID and CAP_SETGID,
/// `limits` CAP_SYS_RESOURCE, other users' processes CAP_KILL and CAP_SYS_PTRACE.
const HARDENING: &str = "\
# All of this holds for the services too. Take out what one of them needs; what would give
# the unit a view of files of its own (PrivateTmp=, ProtectSystem=, ProtectHome= and others)
# does not go with services that outlive their supervisor.
CapabilityBoundingSet=~CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_SYS_BOOT CAP_SYS_MODULE CAP_SYS_RAWIO CAP_WAKE_ALARM
SystemCallFilter=~@cpu-emulation @module @obsolete @raw-io @reboot @swap
SystemCallErrorNumber=EPERM
LockPersonality=yes
KeyringMode=private
";

const NO_HARDENING: &str = "\
# A user's service manager can take rights away only together with sudo and the like
# (NoNewPrivileges=), for all services. Without those, have:
# NoNewPrivileges=yes
# SystemCallFilter=~@cpu-emulation @module @obsolete @raw-io @reboot @swap
# SystemCallErrorNumber=EPERM
# LockPersonality=yes
";

/// systemd makes the directories where they are where it has its own; elsewhere the
/// supervisor does.
fn directories(
    config: &Config,
    environment: &Environment,
    socket: Option<&Path>,
    manager: Manager,
) -> String {
    if manager == Manager::User {
        return String::new();
    }
    let settings = &config.supervisor;
    let DefaultPaths { state_dir, socket: default } =
        config::default_paths(&settings.name, environment);
    let mut lines = String::new();
    if state_dir.as_deref() == Some(&*settings.state_dir) {
        let _ = write!(lines, "StateDirectory=kennel/{}\nStateDirectoryMode=0700\n", settings.name);
    }
    if default.as_deref() == Some(socket.unwrap_or(&settings.socket)) {
        // Others of its kind have their sockets there too, and services may hold some.
        lines.push_str("RuntimeDirectory=kennel\nRuntimeDirectoryPreserve=yes\n");
    }
    if !lines.is_empty() {
        lines.insert(0, '\n');
    }
    lines
}

/// A path as one word of a command line, `systemd.service(5)`: in quotes, with "%" and "$"
/// doubled.
fn word(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().filter(|text| !text.contains(char::is_control)).ok_or_else(|| {
        let message = format!("no unit can have the path \"{}\" in it", path.display());
        Failure::new(ExitKind::Failed, message)
    })?;
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@=".contains(c);
    if text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    let mut word = String::from("\"");
    for c in text.chars() {
        match c {
            '%' | '$' => word.extend([c, c]),
            '"' | '\\' => word.extend(['\\', c]),
            _ => word.push(c),
        }
    }
    word.push('"');
    Ok(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_one_word_whatever_is_in_it() {
        for (path, expected) in [
            ("/usr/bin/kennel", "/usr/bin/kennel"),
            ("/a b/c", "\"/a b/c\""),
            ("/100%/$HOME", "\"/100%%/$$HOME\""),
            ("/a\"b\\c", "\"/a\\\"b\\\\c\""),
        ] {
            assert_eq!(word(Path::new(path)).unwrap(), expected);
        }
        assert!(word(Path::new("/a\nb")).is_err());
    }
}
