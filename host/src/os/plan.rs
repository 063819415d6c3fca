//! A launch turned into what the kernel takes: C strings, pointers, numbers.
//!
//! The child of [`spawn`](super::spawn()) may not allocate, so whatever it needs lies
//! here ready. It writes only the atomics.

use std::ffi::{CString, OsStr, OsString, c_char, c_int};
use std::fs::{File, OpenOptions};
use std::ops::RangeInclusive;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering::Relaxed};

use nix::errno::Errno;
use nix::unistd::{getegid, geteuid};

use super::cause::Cause;
use super::fds;
use super::launch::{Launch, Output};
use super::program;
use super::rlimit::{Resource, Rlimit};
use super::spawn::At;
use super::spawn_error::{SpawnError, Step};

/// Numbers from here on are refused, so that the copies above them stay within limits.
const INHERITED_END: i32 = 1024;

pub(super) struct Plan {
    pub(super) program: CString,
    pub(super) argv: Strings,
    pub(super) env: Strings,
    /// Variables that the child completes.
    pub(super) pid_digits: Vec<PidDigits>,
    pub(super) working_dir: Option<CString>,
    pub(super) umask: Option<u32>,
    pub(super) rlimits: Vec<Limit>,
    pub(super) nice: Option<i32>,
    pub(super) oom_score_adj: Option<Vec<u8>>,
    pub(super) identity: Option<Identity>,
    /// The cgroup to be in.
    pub(super) cgroup: Option<c_int>,
    pub(super) descriptors: Vec<Placed>,
    /// One more than the highest number given.
    pub(super) first_free: c_int,
    /// Everything above standard error that is not given.
    pub(super) closed: Vec<RangeInclusive<u32>>,
    /// An [`At`] as number, 0 as long as nothing failed.
    pub(super) failed_at: AtomicI32,
    pub(super) failed_errno: AtomicI32,
    /// Which limit or descriptor is being worked on.
    pub(super) failed_index: AtomicI32,
    /// Kept open for the child; closed on exec.
    _null: File,
}

/// A list of C strings as `execve(2)` takes it.
pub(super) struct Strings {
    /// Into `_owned` and a [`PidDigits`], ended by null.
    pub(super) pointers: Vec<*const c_char>,
    _owned: Vec<CString>,
}

pub(super) struct Limit {
    pub(super) resource: Resource,
    pub(super) value: libc::rlimit64,
}

pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

/// A descriptor and the number it gets.
pub(super) struct Placed {
    pub(super) source: AtomicI32,
    pub(super) number: c_int,
}

/// `NAME=` with room for a pid that only the child knows.
pub(super) struct PidDigits {
    text: Vec<AtomicU8>,
    name_bytes: usize,
}

impl PidDigits {
    const ROOM: usize = 24;

    fn new(name: &OsStr) -> Self {
        let name: Vec<u8> = [name.as_bytes(), b"="].concat();
        let name_bytes = name.len();
        let room = std::iter::repeat_n(0, Self::ROOM);
        Self { text: name.into_iter().chain(room).map(AtomicU8::new).collect(), name_bytes }
    }

    /// Writes the digits; for the child, so it neither allocates nor panics.
    pub(super) fn write(&self, pid: usize) {
        let digits = pid.checked_ilog10().map_or(1, |log| log as usize + 1);
        let mut rest = pid;
        // Digits come last first; what is behind them is zero already and ends the text.
        let places = self.text.iter().skip(self.name_bytes).take(digits.min(Self::ROOM - 1));
        for place in places.rev() {
            place.store(b'0' | (rest % 10) as u8, Relaxed);
            rest /= 10;
        }
    }
}

impl Plan {
    /// Resolves the program and lays out everything the child needs. The plan borrows
    /// the descriptors of `launch` by number: it must not outlive it.
    pub(super) fn prepare(launch: &Launch) -> Result<Self, SpawnError> {
        let name = launch.argv.first().ok_or(SpawnError::EmptyCommand)?;
        let argv = launch.argv.iter().map(|argument| text(argument, || "an argument".into()));
        let argv = Strings::new(argv.collect::<Result<_, _>>()?, &[]);
        let (env, pid_digits) = environment(launch)?;
        let path = launch.env.iter().find(|(name, _)| name == "PATH").map(|(_, path)| &**path);
        let program = program::find(name, path, launch.working_dir.as_deref())?;
        let program = text(program.as_os_str(), || "a program".into())?;
        let working_dir = launch
            .working_dir
            .as_ref()
            .map(|path| text(path.as_os_str(), || "a working directory".into()));
        let null =
            OpenOptions::new().read(true).write(true).open("/dev/null").map_err(|error| {
                SpawnError::Refused { step: Step::OpenNull, cause: Cause::from_io(&error) }
            })?;
        let descriptors = descriptors(launch, &null)?;
        let mut numbers: Vec<c_int> = descriptors.iter().map(|placed| placed.number).collect();
        numbers.sort_unstable();
        Ok(Self {
            program,
            argv,
            env,
            pid_digits,
            working_dir: working_dir.transpose()?,
            umask: launch.umask.map(|mask| mask & 0o777),
            rlimits: rlimits(&launch.rlimits),
            nice: launch.nice,
            oom_score_adj: launch.oom_score_adj.map(|score| score.to_string().into_bytes()),
            identity: identity(launch),
            cgroup: launch.cgroup.as_ref().map(AsRawFd::as_raw_fd),
            first_free: numbers.last().map_or(0, |last| last + 1),
            closed: gaps(&numbers),
            descriptors,
            failed_at: AtomicI32::new(0),
            failed_errno: AtomicI32::new(0),
            failed_index: AtomicI32::new(0),
            _null: null,
        })
    }

    /// What the child could not do, if anything.
    pub(super) fn failure(&self) -> Option<(Step, Cause)> {
        let at = At::from_number(self.failed_at.load(Relaxed))?;
        let index = self.failed_index.load(Relaxed);
        let path = |text: &CString| PathBuf::from(OsString::from_vec(text.as_bytes().to_vec()));
        let (uid, gid) = self.identity.as_ref().map_or((0, 0), |who| (who.uid, who.gid));
        let step = match at {
            At::Session => Step::Session,
            At::Cgroup => Step::Cgroup,
            At::Descriptor => Step::Descriptor(index),
            At::CloseRest => Step::CloseRest,
            At::OomScoreAdj => {
                let text = self.oom_score_adj.as_deref().unwrap_or_default();
                Step::OomScoreAdj(String::from_utf8_lossy(text).parse().unwrap_or(0))
            }
            At::Nice => Step::Nice(self.nice.unwrap_or(0)),
            At::Limit => {
                let limit = usize::try_from(index).ok().and_then(|index| self.rlimits.get(index));
                let limit = limit.expect("the child sets the index before each limit");
                let (soft, hard) = (limit.value.rlim_cur, limit.value.rlim_max);
                Step::Limit { resource: limit.resource, soft, hard }
            }
            At::Groups => Step::Groups,
            At::Group => Step::Group(gid),
            At::User => Step::User(uid),
            At::WorkingDir => {
                Step::WorkingDir(self.working_dir.as_ref().map(path).unwrap_or_default())
            }
            At::Execute => Step::Execute(path(&self.program)),
        };
        Some((step, Cause(Errno::from_raw(self.failed_errno.load(Relaxed)))))
    }
}

impl Strings {
    fn new(owned: Vec<CString>, extra: &[PidDigits]) -> Self {
        let pointers = owned.iter().map(|text| text.as_ptr());
        let extra = extra.iter().map(|digits| digits.text.as_ptr().cast::<c_char>());
        let pointers = pointers.chain(extra).chain([std::ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }
}

fn text(value: &OsStr, what: impl FnOnce() -> String) -> Result<CString, SpawnError> {
    CString::new(value.as_bytes()).map_err(|_| SpawnError::Nul { what: what() })
}

fn environment(launch: &Launch) -> Result<(Strings, Vec<PidDigits>), SpawnError> {
    let mut variables = Vec::with_capacity(launch.env.len());
    for (name, value) in &launch.env {
        if !launch.pid_variables.contains(name) {
            let joined: Vec<u8> = [name.as_bytes(), b"=", value.as_bytes()].concat();
            let what = || format!("the variable \"{}\"", name.display());
            variables.push(text(OsStr::from_bytes(&joined), what)?);
        }
    }
    let mut digits = Vec::with_capacity(launch.pid_variables.len());
    for name in &launch.pid_variables {
        text(name, || "the name of a variable".into())?;
        digits.push(PidDigits::new(name));
    }
    Ok((Strings::new(variables, &digits), digits))
}

/// The limits to set: those asked for, and the undoing of our own raise of `nofile`.
fn rlimits(asked: &[Rlimit]) -> Vec<Limit> {
    let original = fds::original_nofile()
        .filter(|_| asked.iter().all(|limit| limit.resource != Resource::Nofile));
    asked.iter().copied().chain(original).map(Limit::from).collect()
}

impl From<Rlimit> for Limit {
    fn from(Rlimit { resource, soft, hard }: Rlimit) -> Self {
        Self { resource, value: libc::rlimit64 { rlim_cur: soft, rlim_max: hard } }
    }
}

/// The identity to take, or none when it is ours already and only root could set it.
fn identity(launch: &Launch) -> Option<Identity> {
    let wanted = launch.credentials.as_ref()?;
    let own = (geteuid().as_raw(), getegid().as_raw());
    if own.0 != 0 && own == (wanted.uid, wanted.gid) {
        return None;
    }
    Some(Identity { uid: wanted.uid, gid: wanted.gid, groups: wanted.groups.clone() })
}

fn descriptors(launch: &Launch, null: &File) -> Result<Vec<Placed>, SpawnError> {
    let source = |output: &Output, own| match output {
        Output::Null => null.as_raw_fd(),
        Output::Inherit => own,
        Output::Descriptor(fd) => fd.as_raw_fd(),
    };
    let standard = [null.as_raw_fd(), source(&launch.stdout, 1), source(&launch.stderr, 2)];
    let mut placed: Vec<Placed> = (0..)
        .zip(standard)
        .map(|(number, source)| Placed { source: AtomicI32::new(source), number })
        .collect();
    for inherited in &launch.inherit {
        let number = inherited.number;
        let taken = placed.iter().any(|placed| placed.number == number);
        if taken || !(3..INHERITED_END).contains(&number) {
            return Err(SpawnError::DescriptorNumber { number });
        }
        placed.push(Placed { source: AtomicI32::new(inherited.descriptor.as_raw_fd()), number });
    }
    Ok(placed)
}

/// What lies between and above `numbers`, which are sorted and not negative.
fn gaps(numbers: &[c_int]) -> Vec<RangeInclusive<u32>> {
    let mut gaps = Vec::new();
    let mut next = 0_u32;
    for number in numbers.iter().map(|number| number.cast_unsigned()) {
        if next < number {
            gaps.push(next..=number - 1);
        }
        next = number + 1;
    }
    gaps.push(next..=u32::MAX);
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_all_that_is_not_given() {
        assert_eq!(gaps(&[0, 1, 2]), [3..=u32::MAX]);
        assert_eq!(gaps(&[0, 1, 2, 5, 6, 9]), [3..=4, 7..=8, 10..=u32::MAX]);
    }

    #[test]
    fn the_pid_is_written_in_digits() {
        for pid in [1, 9, 10, 4_194_304, usize::MAX] {
            let digits = PidDigits::new("LISTEN_PID".as_ref());
            digits.write(pid);
            let text: Vec<u8> = digits.text.iter().map(|byte| byte.load(Relaxed)).collect();
            let end = text.iter().position(|&byte| byte == 0).unwrap();
            assert_eq!(text[..end], *format!("LISTEN_PID={pid}").as_bytes());
        }
    }
}
