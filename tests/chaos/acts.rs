//! What happens to the house.

use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::skip::find;
use crate::support::{BOUND, Kennel, Process, wait_for};

use super::random::Random;
use super::world::{DOUBTS, INSTANCES, WRITERS, World};

/// Commands that follow something and whose output nobody reads.
const SLOW_READERS_MAX: usize = 4;

/// Something that happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Act {
    KillMain,
    KillAll,
    Freeze,
    FreezeAndRestart,
    StopOrStart,
    Restart,
    KillSupervisor,
    KillSupervisorAndService,
    KillSupervisorsThatStart,
    Upgrade,
    UpgradeWhileOneEnds,
    UpgradeToNothing,
    ReloadBroken,
    ReloadGood,
    ReadSlowly,
    RunOutOfDescriptors,
    FillTheDisk,
    BreakPlugin,
    JumpClock,
}

/// All of them; what happens more often stands there more often.
pub(super) const ACTS: [Act; 24] = [
    Act::KillMain,
    Act::KillMain,
    Act::KillMain,
    Act::KillAll,
    Act::Freeze,
    Act::FreezeAndRestart,
    Act::StopOrStart,
    Act::StopOrStart,
    Act::Restart,
    Act::KillSupervisor,
    Act::KillSupervisor,
    Act::KillSupervisorAndService,
    Act::KillSupervisorsThatStart,
    Act::Upgrade,
    Act::UpgradeWhileOneEnds,
    Act::UpgradeToNothing,
    Act::ReloadBroken,
    Act::ReloadGood,
    Act::ReadSlowly,
    Act::RunOutOfDescriptors,
    Act::FillTheDisk,
    Act::BreakPlugin,
    Act::BreakPlugin,
    Act::JumpClock,
];

#[derive(Default)]
pub(super) struct Readers(Vec<Child>);

impl Readers {
    fn add(&mut self, kennel: &Kennel, args: &[&str]) {
        let mut command = kennel.command(args);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        self.0.push(command.spawn().unwrap());
        if self.0.len() > SLOW_READERS_MAX {
            end(self.0.remove(0));
        }
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.0.drain(..).for_each(end);
    }
}

fn end(mut child: Child) {
    let _ = child.kill();
    let _ = child.wait();
}

impl World {
    pub(super) fn happen(&mut self, act: Act, random: &mut Random, readers: &mut Readers) {
        match act {
            Act::KillMain => {
                self.main(random, &INSTANCES).inspect(|main| main.signal(Signal::SIGKILL));
            }
            Act::KillAll => {
                let name = random.pick(&INSTANCES);
                let runs = self.runs_of(name);
                runs.iter()
                    .flat_map(|(_, processes)| processes)
                    .for_each(|one| one.signal(Signal::SIGKILL));
            }
            Act::Freeze => {
                if let Some(main) = self.main(random, &INSTANCES) {
                    main.signal(Signal::SIGSTOP);
                    thread::sleep(random.millis(300));
                    main.signal(Signal::SIGCONT);
                }
            }
            Act::FreezeAndRestart => {
                let name = self.any_wanted(random);
                for (_, processes) in self.runs_of(name) {
                    processes.iter().for_each(|one| one.signal(Signal::SIGSTOP));
                }
                self.kennel.cli(&["restart", "--no-wait", name]).ok();
            }
            Act::StopOrStart => {
                let name = random.pick(&INSTANCES);
                if self.wanted.remove(name) {
                    self.kennel.cli(&["stop", name]).ok();
                } else {
                    self.wanted.insert(name);
                    self.kennel.cli(&["start", "--no-wait", name]).ok();
                }
            }
            Act::Restart => {
                let name = self.any_wanted(random);
                self.kennel.cli(&["restart", "--no-wait", name]).ok();
            }
            Act::KillSupervisor => {
                self.kennel.kill_supervisor();
                thread::sleep(random.millis(300));
                self.kennel.start();
            }
            Act::KillSupervisorAndService => {
                let running = WRITERS.map(|name| (name, self.runs_of(name)));
                self.kennel.kill_supervisor();
                // What nobody reads any more goes with the last process that has it open.
                for (name, runs) in running {
                    self.frail.extend(runs.iter().map(|(run, _)| (name.to_owned(), *run)));
                }
                self.main(random, &WRITERS).inspect(|main| main.signal(Signal::SIGKILL));
                self.main(random, &INSTANCES).inspect(|main| main.signal(Signal::SIGKILL));
                self.kennel.start();
            }
            Act::KillSupervisorsThatStart => {
                self.kennel.kill_supervisor();
                for _ in 0..3 {
                    self.kennel.spawn();
                    thread::sleep(random.millis(250));
                    self.kennel.kill_supervisor();
                }
                self.kennel.start();
            }
            Act::Upgrade => {
                let pid = self.kennel.supervisor_pid();
                self.kennel.cli(&["upgrade"]).ok();
                assert_eq!(self.kennel.status()["supervisor"]["pid"], pid);
            }
            Act::UpgradeWhileOneEnds => {
                let main = self.main(random, &INSTANCES);
                let wait = random.millis(400);
                thread::scope(|scope| {
                    scope.spawn(|| {
                        thread::sleep(wait);
                        main.inspect(|main| main.signal(Signal::SIGKILL));
                    });
                    self.kennel.cli(&["upgrade"]).ok();
                });
            }
            Act::UpgradeToNothing => {
                assert_ne!(self.kennel.cli(&["upgrade", "--binary", "/bin/true"]).code, 0);
            }
            Act::ReloadBroken => {
                let broken = ["servces: {}", "services: [", "services: { web: {} }", "\u{0}"];
                self.kennel.write("services.yaml", random.pick(&broken));
                assert_ne!(self.kennel.cli(&["reload"]).code, 0);
                self.rewrite();
            }
            Act::ReloadGood => {
                self.rewrite();
                self.kennel.cli(&["reload"]).ok();
            }
            Act::ReadSlowly => {
                let args = [&["events", "-f"][..], &["logs", "-f"], &["logs", "-f", "writer"]];
                readers.add(&self.kennel, random.pick(&args));
            }
            Act::RunOutOfDescriptors => self.run_out_of_descriptors(random),
            Act::FillTheDisk => self.fill_the_disk(random),
            Act::BreakPlugin => {
                self.doubt = random.pick(&DOUBTS);
                self.rewrite();
                self.kennel.cli(&["reload"]).ok();
                // It is asked, for the first time or after the breaker has let it be.
                thread::sleep(random.millis(600));
                self.main(random, &["doubted"]).inspect(|main| main.signal(Signal::SIGKILL));
            }
            Act::JumpClock => {
                if let Some(clock) = &self.clock {
                    clock.jump(random, &self.kennel);
                }
            }
        }
    }

    fn any_wanted(&self, random: &mut Random) -> &'static str {
        let wanted: Vec<&'static str> = self.wanted.iter().copied().collect();
        if wanted.is_empty() { INSTANCES[0] } else { random.pick(&wanted) }
    }

    /// The main process of one of these, if it has one.
    fn main(&self, random: &mut Random, names: &[&'static str]) -> Option<Process> {
        let runs = self.runs_of(random.pick(names));
        let mut processes = runs.into_iter().flat_map(|(_, processes)| processes);
        processes.find(|one| one.pid == one.group && !one.command.contains("stray.sh"))
    }

    /// For a while the supervisor can open nothing more.
    fn run_out_of_descriptors(&self, random: &mut Random) {
        if find("prlimit").is_none() {
            return println!("skipped: prlimit is not installed");
        }
        let pid = self.kennel.supervisor_pid();
        let limit = |soft: &str| {
            let mut prlimit = Command::new("prlimit");
            prlimit.arg(format!("--pid={pid}")).arg(format!("--nofile={soft}:"));
            assert!(prlimit.status().unwrap().success());
        };
        let limits = fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft = line.split_whitespace().nth(3).unwrap().to_owned();
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count();
        limit(&(open + random.below(3)).to_string());
        self.main(random, &INSTANCES).inspect(|main| main.signal(Signal::SIGKILL));
        thread::sleep(Duration::from_millis(100) + random.millis(300));
        limit(&soft);
    }

    /// For a while nothing can be written to the state directory.
    fn fill_the_disk(&self, random: &mut Random) {
        let Some(disk) = self.disk() else { return };
        let path = disk.join("filling");
        let mut file = File::create(&path).unwrap();
        for block in [1 << 20, 4096, 1] {
            let zeros = vec![0; block];
            while file.write_all(&zeros).is_ok() {}
        }
        self.main(random, &INSTANCES).inspect(|main| main.signal(Signal::SIGKILL));
        thread::sleep(Duration::from_millis(100) + random.millis(500));
        wait_for("space", BOUND, || fs::remove_file(&path).ok());
    }
}
