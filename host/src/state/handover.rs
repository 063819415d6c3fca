//! What a supervisor passes on to the one that takes its place in the same process.
//!
//! ```text
//!   Handover ─► copies that survive execve(2) + a list that says what each of them is, in a
//!               file without a name ─► KENNEL_UPGRADE=<pid>:<list>:<all numbers> ─► Handover
//! ```
//!
//! All numbers stand in the variable too, so that nothing stays open of a list that cannot be
//! read: a lock that stays would keep its own supervisor out.
//!
//! Everything else goes by the state directory, as after a kill: what is here only spares
//! clients a refused connection, and services a word that is lost.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::os::{self, Cause};

/// Where a successor finds what was passed on.
pub(crate) const VARIABLE: &str = "KENNEL_UPGRADE";

/// The version of the list. Who takes over is asked before whether it knows that.
pub(crate) const FORMAT: u32 = 1;

/// No list is longer.
const MANIFEST_MAX: u64 = 64 * 1024 * 1024;

/// What goes from one supervisor to the next.
#[derive(Debug)]
pub(crate) struct Handover {
    /// The version that gives way.
    pub(crate) from: String,
    /// The lock on the state directory.
    pub(crate) lock: OwnedFd,
    /// The control socket, and where it is.
    pub(crate) listener: (PathBuf, OwnedFd),
    /// What goes with the services.
    pub(crate) parcel: Parcel,
}

/// What goes with the services.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    /// Sockets that are held for services.
    pub(crate) sockets: Vec<CarriedSocket>,
    /// What runs are heard by, by their numbers: a notification socket, or the pipe that a
    /// newline is to come through.
    pub(crate) ears: Vec<(u64, OwnedFd)>,
    /// Pipes that output comes through: what is in them outlives who wrote it only while
    /// somebody holds them.
    pub(crate) streams: Vec<CarriedStream>,
}

/// A socket that is held for a service.
#[derive(Debug)]
pub(crate) struct CarriedSocket {
    pub(crate) service: String,
    /// As the configuration writes it.
    pub(crate) address: String,
    pub(crate) fd: OwnedFd,
}

/// The reading end of a pipe that output comes through.
#[derive(Debug)]
pub(crate) struct CarriedStream {
    pub(crate) instance: String,
    pub(crate) run: u64,
    /// `stdout` or `stderr`.
    pub(crate) stream: String,
    /// Its inode.
    pub(crate) pipe: u64,
    pub(crate) fd: OwnedFd,
}

#[derive(Serialize, Deserialize)]
struct StreamEntry {
    instance: String,
    run: u64,
    stream: String,
    pipe: u64,
    fd: RawFd,
}

/// What a list of every format begins with.
#[derive(Deserialize)]
struct Head {
    format: u32,
}

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    from: String,
    lock: RawFd,
    listener: (PathBuf, RawFd),
    sockets: Vec<(String, String, RawFd)>,
    ears: Vec<(u64, RawFd)>,
    streams: Vec<StreamEntry>,
}

/// Why what was passed on cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It comes from a version with other ideas.
    #[error("what is passed on has format {0}, and this version knows {FORMAT}")]
    Format(u32),
    /// The list cannot be read.
    #[error("the list of what was passed on cannot be read: {0}")]
    List(String),
    /// A descriptor is not there.
    #[error("{0} was not passed on")]
    Missing(&'static str),
}

/// Copies that survive `execve(2)`, for as long as this lives.
pub(crate) struct PassedOn {
    /// What [`VARIABLE`] is.
    pub(crate) variable: String,
    _copies: Vec<OwnedFd>,
}

impl Handover {
    /// Makes copies of all that survive `execve(2)`. Blocks as long as the disk does.
    ///
    /// # Errors
    /// No descriptors are left, or the state directory cannot be written.
    pub(crate) fn pass_on(&self, state_dir: &Path) -> io::Result<PassedOn> {
        // The last descriptors may go to streams, which can be opened again as a rule.
        let list = OwnedFd::from(nameless(state_dir)?);
        let mut copies = Vec::new();
        let mut copy = |fd: &OwnedFd| {
            let copy = os::passable(fd.as_fd())?;
            let number = os::number(&copy);
            copies.push(copy);
            Ok::<RawFd, io::Error>(number)
        };
        let Handover { from, lock, listener: (path, listener), parcel } = self;
        let Parcel { sockets, ears, streams } = parcel;
        let number = copy(&list)?;
        let manifest = Manifest {
            format: FORMAT,
            from: from.clone(),
            lock: copy(lock)?,
            listener: (path.clone(), copy(listener)?),
            sockets: sockets
                .iter()
                .map(|CarriedSocket { service, address, fd }| {
                    Ok((service.clone(), address.clone(), copy(fd)?))
                })
                .collect::<io::Result<_>>()?,
            ears: ears.iter().map(|(run, fd)| Ok((*run, copy(fd)?))).collect::<io::Result<_>>()?,
            streams: streams
                .iter()
                .filter_map(|CarriedStream { instance, run, stream, pipe, fd }| {
                    let (instance, stream) = (instance.clone(), stream.clone());
                    let fd = copy(fd).ok()?;
                    Some(StreamEntry { instance, run: *run, stream, pipe: *pipe, fd })
                })
                .collect(),
        };
        let mut list = File::from(list);
        list.write_all(&serde_json::to_vec(&manifest)?)?;
        list.rewind()?;
        let all = ranges(copies.iter().map(os::number).collect());
        let variable = format!("{}:{number}:{all}", std::process::id());
        Ok(PassedOn { variable, _copies: copies })
    }

    /// Whether this version can take what is passed on in this format.
    ///
    /// # Errors
    /// [`Unusable::Format`].
    pub(crate) fn check(format: u32) -> Result<(), Unusable> {
        if format == FORMAT { Ok(()) } else { Err(Unusable::Format(format)) }
    }

    /// Takes what was passed on to this process; none when nothing was, or it was meant for
    /// another one. To be asked once, before anything else is opened.
    ///
    /// # Errors
    /// It cannot be used, and all of it is closed.
    pub(crate) fn take(variable: Option<&OsStr>) -> Result<Option<Handover>, Unusable> {
        let fields = variable.and_then(OsStr::to_str).and_then(|text| text.split_once(':'));
        let Some((pid, rest)) = fields else { return Ok(None) };
        if pid.parse() != Ok(std::process::id()) {
            return Ok(None);
        }
        let list = |why: &str| Unusable::List(why.to_owned());
        let (number, all) = rest.split_once(':').ok_or_else(|| list("it is not named"))?;
        let mut passed: BTreeMap<RawFd, OwnedFd> =
            numbers(all).filter_map(|number| Some((number, os::inherited(number).ok()?))).collect();
        let text = number.parse().ok().and_then(|number| passed.remove(&number));
        let text = text.ok_or_else(|| list("it is not there"))?;
        let mut bytes = Vec::new();
        File::from(text)
            .take(MANIFEST_MAX)
            .read_to_end(&mut bytes)
            .map_err(|error| list(&Cause::from_io(&error).to_string()))?;
        let Manifest { from, lock, listener: (path, listener), sockets, ears, streams, format: _ } =
            Manifest::parse(&bytes)?;
        let lock = passed.remove(&lock).ok_or(Unusable::Missing("the lock"))?;
        let listener = passed.remove(&listener).ok_or(Unusable::Missing("the control socket"))?;
        let mut sockets_taken = Vec::new();
        for (service, address, number) in sockets {
            let fd = passed.remove(&number);
            sockets_taken.extend(fd.map(|fd| CarriedSocket { service, address, fd }));
        }
        let ears =
            ears.into_iter().filter_map(|(run, number)| Some((run, passed.remove(&number)?)));
        let ears = ears.collect();
        let streams = streams.into_iter().filter_map(|entry| {
            let StreamEntry { instance, run, stream, pipe, fd } = entry;
            Some(CarriedStream { instance, run, stream, pipe, fd: passed.remove(&fd)? })
        });
        let parcel = Parcel { sockets: sockets_taken, ears, streams: streams.collect() };
        Ok(Some(Handover { from, lock, listener: (path, listener), parcel }))
    }
}

impl Manifest {
    fn parse(bytes: &[u8]) -> Result<Manifest, Unusable> {
        let unreadable = |error: serde_json::Error| Unusable::List(error.to_string());
        let head: Head = serde_json::from_slice(bytes).map_err(unreadable)?;
        Handover::check(head.format)?;
        serde_json::from_slice(bytes).map_err(unreadable)
    }
}

/// Reads `bytes` as a list, and what it says once more; whether it is one. For fuzzing.
pub(crate) fn try_list(bytes: &[u8]) -> bool {
    let manifest = match Manifest::parse(bytes) {
        Ok(manifest) => manifest,
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return false;
        }
    };
    let Ok(written) = serde_json::to_vec(&manifest) else { panic!("it cannot be written again") };
    let again = Manifest::parse(&written).map(|again| serde_json::to_vec(&again).ok());
    assert!(matches!(again, Ok(Some(again)) if again == written), "it says something else again");
    true
}

/// Numbers in as few words as possible: `3-5,9`.
fn ranges(mut numbers: Vec<RawFd>) -> String {
    numbers.sort_unstable();
    let mut ranges: Vec<(RawFd, RawFd)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number == *last + 1 => *last = number,
            Some(_) | None => ranges.push((number, number)),
        }
    }
    let word = |(first, last): &(RawFd, RawFd)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    ranges.iter().map(word).collect::<Vec<_>>().join(",")
}

/// What [`ranges`] wrote.
fn numbers(text: &str) -> impl Iterator<Item = RawFd> {
    text.split(',').flat_map(|word| {
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        match (first.parse::<RawFd>(), last.parse::<RawFd>()) {
            (Ok(first), Ok(last)) if first >= 0 => first..last.saturating_add(1),
            (Ok(_) | Err(_), Ok(_) | Err(_)) => 0..0,
        }
    })
}

/// A new file that has no name any more.
fn nameless(state_dir: &Path) -> io::Result<File> {
    let path = state_dir.join("handover");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags((OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW).bits())
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor() -> OwnedFd {
        let (reader, _) = nix::unistd::pipe().unwrap();
        reader
    }

    fn handover() -> Handover {
        let socket = |address: &str| CarriedSocket {
            service: "web".into(),
            address: address.into(),
            fd: descriptor(),
        };
        Handover {
            from: "0.1.0".into(),
            lock: descriptor(),
            listener: ("/run/k.sock".into(), descriptor()),
            parcel: Parcel {
                sockets: vec![socket("tcp://127.0.0.1:80")],
                ears: vec![(7, descriptor())],
                streams: vec![CarriedStream {
                    instance: "web".into(),
                    run: 7,
                    stream: "stderr".into(),
                    pipe: 1,
                    fd: descriptor(),
                }],
            },
        }
    }

    fn take(variable: &str) -> Result<Option<Handover>, Unusable> {
        Handover::take(Some(OsStr::new(variable)))
    }

    #[test]
    fn what_is_passed_on_is_taken_by_the_same_process_only() {
        let dir = tempfile::tempdir().unwrap();
        let handover = handover();
        let passed = handover.pass_on(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the list has no name");
        let (_, rest) = passed.variable.split_once(':').unwrap();
        assert!(take(&format!("1:{rest}")).unwrap().is_none());
        assert!(Handover::take(None).unwrap().is_none());
        let variable = passed.variable.clone();
        // As after execve(2): nobody of this program owns the copies.
        std::mem::forget(passed);
        let taken = take(&variable).unwrap().unwrap();
        assert_eq!(taken.from, "0.1.0");
        assert_eq!(taken.listener.0, Path::new("/run/k.sock"));
        assert_eq!(taken.parcel.sockets[0].address, "tcp://127.0.0.1:80");
        assert_eq!(taken.parcel.ears[0].0, 7);
        let same =
            |a: &OwnedFd, b: &OwnedFd| os::pipe_inode(a).unwrap() == os::pipe_inode(b).unwrap();
        assert!(same(&taken.lock, &handover.lock));
        assert!(same(&taken.parcel.ears[0].1, &handover.parcel.ears[0].1));
        assert_eq!(taken.parcel.streams[0].stream, "stderr");
        assert!(same(&taken.parcel.streams[0].fd, &handover.parcel.streams[0].fd));
        assert!(take(&variable).is_err(), "once");
    }

    #[test]
    fn of_what_cannot_be_used_nothing_stays_open() {
        let dir = tempfile::tempdir().unwrap();
        let handover = handover();
        let lists: [(&[u8], &str); 3] = [
            (br#"{"format":9,"else":true}"#, "has format 9, and this version knows 1"),
            (b"no list", "cannot be read"),
            (br#"{"format":1}"#, "missing field"),
        ];
        for (list, reason) in lists {
            let passed = handover.pass_on(dir.path()).unwrap();
            let variable = passed.variable.clone();
            let number = variable.split(':').nth(1).unwrap().to_owned();
            fs::write(format!("/proc/self/fd/{number}"), list).unwrap();
            let (_, all) = variable.rsplit_once(':').unwrap();
            let all: Vec<RawFd> = numbers(all).collect();
            assert_eq!(all.len(), 6, "{variable}");
            std::mem::forget(passed);
            let open = |number| fs::read_link(format!("/proc/self/fd/{number}")).ok();
            let before: Vec<_> = all.iter().map(|number| open(*number).unwrap()).collect();
            let error = take(&variable).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            // Another test may have something else under this number by now.
            for (number, file) in all.into_iter().zip(before) {
                assert_ne!(open(number), Some(file), "{number} of {variable}");
            }
        }
    }

    #[test]
    fn numbers_come_back_as_they_were() {
        for (list, text) in [
            (vec![3], "3"),
            (vec![5, 3, 4], "3-5"),
            (vec![3, 4, 9, 11, 12], "3-4,9,11-12"),
            (vec![], ""),
        ] {
            assert_eq!(ranges(list.clone()), text);
            let mut sorted = list;
            sorted.sort_unstable();
            assert_eq!(numbers(text).collect::<Vec<_>>(), sorted);
        }
        assert_eq!(numbers("x,-3,7-,5-4,8").collect::<Vec<_>>(), [8]);
    }
}
