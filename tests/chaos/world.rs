//! The house that things happen to, and what is wanted of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::support::skip::is_root;
use crate::support::{BOUND, Kennel, Process, wait_for};

use super::clock::Clock;

/// Numbers its lines, and notes the number of each line that it has written.
const WRITER: &str = "
i=0
while :; do i=$((i+1)); echo \"line $KENNEL_RUN $i\"; echo $i > last.$KENNEL_INSTANCE.$KENNEL_RUN; sleep 0.02; done
";

/// Is orphaned in a session of its own and ends on no signal that can be ignored.
const STRAY: &str = "trap '' TERM HUP INT; while :; do sleep 0.1; done";

/// Every instance by its name.
pub(super) const INSTANCES: [&str; 9] =
    ["writer/0", "writer/1", "writer/2", "steady", "tree", "checked", "doubted", "shy", "extra"];

pub(super) const WRITERS: [&str; 3] = ["writer/0", "writer/1", "writer/2"];

/// The plugins that may look at `doubted`: one does, one traps, and one never comes back.
pub(super) const DOUBTS: [&str; 3] = ["counts", "traps", "loops"];

/// One run of an instance, by its mark.
pub(super) type Run = (String, u64);

pub(super) struct World {
    pub(super) kennel: Kennel,
    /// The instances that are wanted up.
    pub(super) wanted: BTreeSet<&'static str>,
    /// Of each writer whose end nobody may have seen: its last lines may be lost with it.
    pub(super) frail: BTreeSet<Run>,
    /// How often the configuration was written.
    pub(super) edition: u32,
    /// Which of [`DOUBTS`] looks at `doubted`.
    pub(super) doubt: &'static str,
    pub(super) clock: Option<Clock>,
    disk: Option<PathBuf>,
}

impl World {
    /// `broken` is what a shell does before each start of a supervisor.
    pub(super) fn new(broken: Option<&str>) -> World {
        let mut kennel = Kennel::new("services: {}");
        let clock = Clock::find();
        let prelude = [broken.map(str::to_owned), clock.as_ref().map(Clock::prelude)];
        let prelude: Vec<String> = prelude.into_iter().flatten().collect();
        if !prelude.is_empty() {
            kennel = kennel.prelude(&prelude.join("; "));
        }
        kennel.write("clock", "+0\n");
        kennel.write("writer.sh", WRITER);
        kennel.write("stray.sh", STRAY);
        write_doubts(&kennel);
        let disk = small_disk(&kennel);
        let wanted = INSTANCES.into_iter().filter(|name| *name != "shy").collect();
        let (frail, doubt) = (BTreeSet::new(), DOUBTS[0]);
        let mut world = World { kennel, wanted, frail, edition: 0, doubt, clock, disk };
        world.rewrite();
        world.kennel.start();
        if cfg!(feature = "plugins") {
            // A machine that is busy takes long to compile them, and a reload waits for that.
            wait_for("the sink", 4 * BOUND, || {
                (!world.kennel.read("events").is_empty()).then_some(())
            });
        }
        world
    }

    /// Writes the configuration anew: `extra` is another one with each edition.
    pub(super) fn rewrite(&mut self) {
        self.edition += 1;
        let edition = self.edition;
        let (plugins, policy) = plugins(&self.kennel);
        let doubted = doubted(self.doubt);
        self.kennel.configure(&format!(
            r#"
{plugins}
env: {{ LD_PRELOAD: "" }}
defaults:
  restart: {{ limit: none, backoff: {{ initial: 10ms, max: 200ms }} }}
  stop: {{ steps: [{{ signal: SIGTERM, wait: 300ms }}] }}
services:
  writer:
    command: [sh, ./writer.sh]
    replicas: 3
    logs: {{ max_size: 1GiB }}
    ready: {{ log: "line" }}
    {policy}
  steady:
    command: [sleep, "1000"]
  tree:
    shell: "(setsid sh ./stray.sh &); sleep 1000 & exec sleep 1000"
  checked:
    command: [sleep, "1000"]
    health: {{ command: [test, -e, services.yaml], every: 200ms, grace: 0s }}
  doubted:
    command: [sleep, "1000"]
    {doubted}
  shy:
    command: [sleep, "1000"]
    enabled: false
  extra:
    command: [sleep, "1000"]
    env: {{ EDITION: "{edition}" }}
"#
        ));
    }

    /// Where there is little space, if there could be such a place.
    pub(super) fn disk(&self) -> Option<&PathBuf> {
        self.disk.as_ref()
    }

    /// The processes of runs: which instance and run each bears the mark of.
    pub(super) fn processes(&self) -> BTreeMap<Run, Vec<Process>> {
        let mut runs: BTreeMap<Run, Vec<Process>> = BTreeMap::new();
        for process in self.kennel.processes() {
            if let Some(run) = run_of(process.pid) {
                runs.entry(run).or_default().push(process);
            }
        }
        runs
    }

    /// The runs of an instance that have processes.
    pub(super) fn runs_of(&self, name: &str) -> Vec<(u64, Vec<Process>)> {
        let of = |((instance, run), processes)| (instance == name).then_some((run, processes));
        self.processes().into_iter().filter_map(of).collect()
    }

    /// The number of the last line that each run of a writer noted.
    pub(super) fn last_lines(&self, writer: &str) -> BTreeMap<u64, u64> {
        let prefix = format!("last.{}.", writer.trim_start_matches("writer/"));
        let files = fs::read_dir(self.kennel.directory()).unwrap().flatten();
        let of = |name: String| {
            let run = name.strip_prefix(&prefix)?.parse().ok()?;
            Some((run, self.kennel.read(&name).trim().parse().unwrap_or(0)))
        };
        files.filter_map(|file| of(file.file_name().into_string().ok()?)).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            // The supervisor still has files open there.
            let _ = Command::new("umount").arg("-l").arg(disk).status();
        }
    }
}

/// A policy that is asked after each end of a writer, and a sink that writes all events to a
/// file: what is configured for them, and what of a writer.
fn plugins(kennel: &Kennel) -> (String, &'static str) {
    if !cfg!(feature = "plugins") {
        return (String::new(), "");
    }
    let file = kennel.path("events").display().to_string();
    let plugins = format!(
        r#"
plugins:
  counts: {{ source: ./counts.wasm }}
  traps: {{ source: ./traps.wasm }}
  loops: {{ source: ./loops.wasm }}
  codes: {{ source: "stock:exit-codes", grants: {{ give_up: true }} }}
  file: {{ source: "stock:file", grants: {{ files: ["{file}"] }} }}
sinks: [{{ plugin: file, events: ["service.*"], config: {{ path: "{file}" }} }}]
"#
    );
    let policy = r#"restart: { policy_plugin:
      { plugin: codes, config: { rules: [{ exit: 78, then: give_up }] } } }"#;
    (plugins, policy)
}

/// What looks at `doubted`: it answers, or cannot be asked, and that restarts nothing.
fn doubted(doubt: &str) -> String {
    if !cfg!(feature = "plugins") {
        return String::new();
    }
    format!("health: {{ plugin: {doubt}, every: 200ms, timeout: 200ms, grace: 0s }}")
}

#[cfg(feature = "plugins")]
fn write_doubts(kennel: &Kennel) {
    use crate::support::guest::{Does, check};
    for (name, does) in DOUBTS.into_iter().zip([Does::Counts, Does::Traps, Does::Loops]) {
        fs::write(kennel.path(&format!("{name}.wasm")), check(name, does)).unwrap();
    }
}

#[cfg(not(feature = "plugins"))]
fn write_doubts(_: &Kennel) {}

/// A file system of 24 MiB for the state directory.
fn small_disk(kennel: &Kennel) -> Option<PathBuf> {
    let state = kennel.path("state");
    fs::create_dir(&state).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=24m,mode=0700", "chaos"]).arg(&state);
    if is_root() && mount.status().is_ok_and(|status| status.success()) {
        return Some(state);
    }
    println!("skipped: the disk is never full, only root can have a small one");
    fs::remove_dir(&state).unwrap();
    None
}

/// By its environment; none when it bears no mark or has ended.
fn run_of(pid: i32) -> Option<Run> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let text = String::from_utf8_lossy(&environment);
    let variable = |name: &str| {
        let mut all = text.split('\0');
        all.find_map(|one| one.strip_prefix(name)?.strip_prefix('=')).map(str::to_owned)
    };
    let (service, instance) = (variable("KENNEL_SERVICE")?, variable("KENNEL_INSTANCE")?);
    let name = if service == "writer" { format!("{service}/{instance}") } else { service };
    Some((name, variable("KENNEL_RUN")?.parse().ok()?))
}
