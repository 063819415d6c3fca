//! What `/proc` says about processes (`proc_pid_stat(5)`).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::time::Duration;

use nix::unistd::{SysconfVar, sysconf};

/// The fields of `/proc/pid/stat` that supervision needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The number of the process.
    pub pid: i32,
    /// The name of the program it executed, up to 15 bytes (`comm`).
    pub command: String,
    /// One letter: `R` running, `S` sleeping, `Z` zombie, `X` dead, and others.
    pub state: u8,
    /// The number of the parent.
    pub parent: i32,
    /// The number of the process group.
    pub group: i32,
    /// The number of the session.
    pub session: i32,
    /// User and system time, own and of children that were waited for, in clock ticks.
    pub cpu_ticks: u64,
    /// Threads.
    pub threads: u64,
    /// When the process began, in clock ticks since boot.
    pub start_time: u64,
    /// Resident set, in pages.
    pub rss_pages: u64,
}

impl Stat {
    /// Whether some thread of the process can still run: a main thread that has ended
    /// shows as a zombie while others go on.
    #[must_use]
    pub fn runs(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x') || self.threads > 1
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        // The name may hold spaces and parentheses, so the last one ends it.
        let (head, tail) = text.rsplit_once(')')?;
        let (pid, command) = head.split_once(" (")?;
        // From here on index 0 is field 3 of the page.
        let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
        let unsigned = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let signed = |index: usize| fields.get(index)?.parse::<i64>().ok();
        let id = |index: usize| fields.get(index)?.parse::<i32>().ok();
        let waited_for = signed(13)?.saturating_add(signed(14)?);
        Some(Self {
            pid: pid.parse().ok()?,
            command: command.to_owned(),
            state: *fields.first()?.as_bytes().first()?,
            parent: id(1)?,
            group: id(2)?,
            session: id(3)?,
            cpu_ticks: unsigned(11)? + unsigned(12)? + u64::try_from(waited_for).unwrap_or(0),
            threads: unsigned(17)?,
            start_time: unsigned(19)?,
            rss_pages: signed(21)?.max(0).cast_unsigned(),
        })
    }
}

/// What the processes of one session use together, with the sessions that they began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processes, zombies not counted.
    pub processes: u64,
    /// Resident memory in bytes; a page that several share counts once for each.
    pub memory_bytes: u64,
    /// User and system time, also of children that ended and were waited for.
    pub cpu: Duration,
    /// Threads.
    pub threads: u64,
}

/// The process with this number.
///
/// # Errors
/// `NotFound` (or `ESRCH`) when there is none.
pub fn stat(pid: i32) -> io::Result<Stat> {
    let text = fs::read(format!("/proc/{pid}/stat"))?;
    Stat::parse(&String::from_utf8_lossy(&text))
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "cannot read /proc/pid/stat"))
}

/// The time since boot that so many clock ticks are, as in [`Stat::start_time`].
#[must_use]
pub fn since_boot(clock_ticks: u64) -> Duration {
    ticks(clock_ticks, Units::of_this_machine().ticks_per_second)
}

/// How a process ended that nobody has waited for yet, as `wait(2)` stores it; none when we
/// may not know: the kernel says 0 then (field 52 of `proc_pid_stat(5)`).
pub(super) fn zombie_status(pid: i32) -> Option<i32> {
    // Guarded by the same right, and this one says so.
    fs::read(format!("/proc/{pid}/io")).ok()?;
    let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (_, tail) = text.rsplit_once(')')?;
    let mut fields = tail.split_ascii_whitespace();
    (fields.next()? == "Z").then(|| fields.nth(48)?.parse().ok())?
}

/// Every process, in one pass; those that end meanwhile are left out.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn processes() -> io::Result<Vec<Stat>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        if let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) {
            found.extend(stat(pid));
        }
    }
    Ok(found)
}

/// How many descendants of one process are looked for.
const DESCENDANTS_MAX: usize = 1024;

/// The descendants of a process that are there now, in whatever group or session: those
/// whose parents live, up to 1,024 of them. Reads nothing of other processes
/// (`proc_tid_children(5)`); none where the kernel has no such list.
#[must_use]
pub fn descendants(pid: i32) -> Vec<Stat> {
    let mut found: Vec<Stat> = Vec::new();
    let mut parents = vec![pid];
    while let Some(parent) = parents.pop() {
        for child in children(parent) {
            if found.len() >= DESCENDANTS_MAX {
                return found;
            }
            // Its number may have gone to somebody else meanwhile.
            if let Ok(stat) = stat(child).and_then(|stat| of_parent(stat, parent)) {
                parents.push(child);
                found.push(stat);
            }
        }
    }
    found
}

fn of_parent(stat: Stat, parent: i32) -> io::Result<Stat> {
    if stat.parent == parent { Ok(stat) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The children of all threads of a process.
fn children(pid: i32) -> Vec<i32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists =
        threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|number| number.parse().ok())
        .collect()
}

/// The numbers of all process groups with a member that runs.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn living_groups() -> io::Result<HashSet<i32>> {
    let living = processes()?.into_iter().filter(Stat::runs);
    Ok(living.map(|process| process.group).collect())
}

/// What each session uses, by session number: a service is the session of its pid. A
/// session that some process of another one began, as each backend of PostgreSQL does,
/// counts to that other one; only those of our own children, and of orphans, stand alone.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn usage_by_session() -> io::Result<BTreeMap<i32, Usage>> {
    let units = Units::of_this_machine();
    let processes = processes()?;
    let sessions = Sessions::among(&processes, i32::try_from(std::process::id()).unwrap_or(-1));
    let mut used: BTreeMap<i32, Usage> = BTreeMap::new();
    for process in &processes {
        units.add(used.entry(sessions.topmost(process.session)).or_default(), process);
    }
    Ok(used)
}

/// Which session began which.
struct Sessions(HashMap<i32, i32>);

impl Sessions {
    /// `root` is the process whose children lead sessions that stand alone.
    fn among(processes: &[Stat], root: i32) -> Sessions {
        let session_of: HashMap<i32, i32> =
            processes.iter().map(|process| (process.pid, process.session)).collect();
        let leaders = processes.iter().filter(|process| process.pid == process.session);
        let began = leaders.filter(|leader| leader.parent != root && leader.parent > 1);
        Sessions(
            began
                .filter_map(|leader| Some((leader.session, *session_of.get(&leader.parent)?)))
                .collect(),
        )
    }

    fn topmost(&self, session: i32) -> i32 {
        // Bounded, because processes come and go while they are looked at.
        let mut topmost = session;
        for _ in 0..SESSION_DEPTH_MAX {
            match self.0.get(&topmost) {
                Some(above) => topmost = *above,
                None => break,
            }
        }
        topmost
    }
}

/// How deep sessions within sessions are followed.
const SESSION_DEPTH_MAX: usize = 32;

/// What one process uses by itself.
///
/// # Errors
/// As [`stat`].
pub fn usage_of(pid: i32) -> io::Result<Usage> {
    let mut usage = Usage::default();
    Units::of_this_machine().add(&mut usage, &stat(pid)?);
    Ok(usage)
}

/// What the numbers of the kernel mean.
struct Units {
    page_bytes: u64,
    ticks_per_second: u64,
}

impl Units {
    fn of_this_machine() -> Units {
        let constant =
            |name| sysconf(name).ok().flatten().and_then(|value| u64::try_from(value).ok());
        Units {
            page_bytes: constant(SysconfVar::PAGE_SIZE).unwrap_or(4096),
            ticks_per_second: constant(SysconfVar::CLK_TCK).unwrap_or(100).max(1),
        }
    }

    fn add(&self, usage: &mut Usage, process: &Stat) {
        usage.cpu += ticks(process.cpu_ticks, self.ticks_per_second);
        if process.runs() {
            usage.processes += 1;
            usage.threads += process.threads;
            usage.memory_bytes += process.rss_pages.saturating_mul(self.page_bytes);
        }
    }
}

/// The effective user of a process; root's, where it must not be looked into
/// (`PR_SET_DUMPABLE`, `proc(5)`).
///
/// # Errors
/// There is no such process.
pub fn owner(pid: i32) -> io::Result<u32> {
    Ok(fs::metadata(format!("/proc/{pid}"))?.uid())
}

/// When a process began, in clock ticks since boot.
///
/// # Errors
/// As [`stat`].
pub fn start_time(pid: i32) -> io::Result<u64> {
    stat(pid).map(|stat| stat.start_time)
}

/// The id of this boot of the machine (`random(4)`).
///
/// # Errors
/// When `/proc` is not mounted.
pub fn boot_id() -> io::Result<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id")?;
    Ok(id.trim_end().to_owned())
}

/// How many descriptors a process has open.
///
/// # Errors
/// `PermissionDenied` for a process of another user.
pub fn open_fds(pid: i32) -> io::Result<usize> {
    let path = format!("/proc/{pid}/fd");
    // Since Linux 6.2 the size of the directory is their number; before, it is 0.
    match fs::metadata(&path)?.len() {
        0 => Ok(fs::read_dir(&path)?.count()),
        count => Ok(usize::try_from(count).unwrap_or(usize::MAX)),
    }
}

fn ticks(ticks: u64, per_second: u64) -> Duration {
    let rest_nanos = (ticks % per_second) * 1_000_000_000 / per_second;
    Duration::from_secs(ticks / per_second) + Duration::from_nanos(rest_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_parentheses_and_spaces_does_not_shift_the_fields() {
        let text = "42 (a) b (c) S 7 42 41 0 -1 4194560 1 2 3 4 50 60 7 8 20 0 3 0 9001 \
                    2703360 250 18446744073709551615 1";
        let stat = Stat::parse(text).unwrap();
        assert_eq!((stat.pid, &*stat.command), (42, "a) b (c"));
        assert_eq!((stat.state, stat.parent), (b'S', 7));
        assert_eq!((stat.group, stat.session, stat.threads), (42, 41, 3));
        assert_eq!((stat.cpu_ticks, stat.start_time, stat.rss_pages), (125, 9001, 250));
        assert_eq!(Stat::parse("42 (short) S 1"), None);
        assert_eq!(Stat::parse(""), None);
    }

    #[test]
    fn our_own_session_uses_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        let stat = stat(own).unwrap();
        assert!(stat.runs() && stat.start_time > 0);
        let used = usage_by_session().unwrap();
        let sessions = Sessions::among(&processes().unwrap(), own);
        let usage = used[&sessions.topmost(stat.session)];
        assert!(usage.processes >= 1 && usage.threads >= 1 && usage.memory_bytes > 100_000);
        let alone = usage_of(own).unwrap();
        assert!(alone.processes == 1 && alone.threads >= 1 && alone.memory_bytes > 100_000);
        assert!(usage_of(-1).is_err());
    }

    #[test]
    fn a_session_counts_to_the_one_that_began_it_up_to_a_child_of_ours() {
        let process = |pid, parent, session| {
            let text = format!(
                "{pid} (x) S {parent} {session} {session} 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 9 1 1"
            );
            Stat::parse(&text).unwrap()
        };
        let (init, ours) = (process(1, 0, 1), process(10, 1, 7));
        let (service, worker) = (process(20, 10, 20), process(21, 20, 20));
        let (backend, of_backend) = (process(30, 21, 30), process(40, 30, 40));
        let (orphan, other) = (process(50, 1, 50), process(60, 10, 60));
        let all = [init, ours, service, worker, backend, of_backend, orphan, other];
        let sessions = Sessions::among(&all, 10);
        for (session, topmost) in [(20, 20), (30, 20), (40, 20), (50, 50), (60, 60), (99, 99)] {
            assert_eq!(sessions.topmost(session), topmost, "{session}");
        }
    }

    #[test]
    fn the_open_descriptors_of_a_process_are_counted() {
        let own = i32::try_from(std::process::id()).unwrap();
        // Other tests open and close some meanwhile, but never as many.
        let before = open_fds(own).unwrap();
        let files: Vec<_> = (0..200).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let more = open_fds(own).unwrap();
        assert!(before >= 3 && more >= before.saturating_sub(50) + 150, "{before}, then {more}");
        drop(files);
    }

    #[test]
    fn the_boot_has_an_id() {
        assert_eq!(boot_id().unwrap().len(), 36);
    }

    #[test]
    fn ticks_become_time() {
        assert_eq!(ticks(250, 100), Duration::from_millis(2500));
    }
}
