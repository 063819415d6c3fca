//! What a supervisor passes on to the one that takes its place in the same process.
//!
//! ```text
//!   Handover ─► copies that survive execve(2) + a list of their numbers in a file without a
//!               name ─► KENNEL_UPGRADE=<pid>:<its number> ─► Handover
//! ```
//!
//! Everything else goes by the state directory, as after a kill: what is here only spares
//! clients a refused connection, and services a word that is lost.

use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use crate::os;

/// Where a successor finds what was passed on.
pub(crate) const VARIABLE: &str = "KENNEL_UPGRADE";

/// The version of the list.
const FORMAT: u32 = 1;

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
    /// Notification sockets, by run.
    pub(crate) notify: Vec<(u64, OwnedFd)>,
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

#[derive(Serialize, Deserialize)]
struct Manifest {
    format: u32,
    from: String,
    lock: RawFd,
    listener: (PathBuf, RawFd),
    sockets: Vec<(String, String, RawFd)>,
    notify: Vec<(u64, RawFd)>,
    streams: Vec<StreamEntry>,
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
        let Parcel { sockets, notify, streams } = parcel;
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
            notify: notify
                .iter()
                .map(|(run, fd)| Ok((*run, copy(fd)?)))
                .collect::<io::Result<_>>()?,
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
        let variable = format!("{}:{number}", std::process::id());
        Ok(PassedOn { variable, _copies: copies })
    }

    /// Takes what was passed on to this process; none when nothing was, or it was meant for
    /// another one. To be asked once, before anything else is opened.
    pub(crate) fn take(variable: Option<&OsStr>) -> Option<Handover> {
        let (pid, number) = variable?.to_str()?.split_once(':')?;
        if pid.parse() != Ok(std::process::id()) {
            return None;
        }
        let list = os::inherited(number.parse().ok()?).ok()?;
        let mut text = Vec::new();
        File::from(list).take(MANIFEST_MAX).read_to_end(&mut text).ok()?;
        let manifest: Manifest = serde_json::from_slice(&text).ok()?;
        let Manifest { format, from, lock, listener: (path, listener), sockets, notify, streams } =
            manifest;
        if format != FORMAT {
            return None;
        }
        let sockets = sockets.into_iter().filter_map(|(service, address, number)| {
            Some(CarriedSocket { service, address, fd: os::inherited(number).ok()? })
        });
        let notify =
            notify.into_iter().filter_map(|(run, number)| Some((run, os::inherited(number).ok()?)));
        let streams = streams.into_iter().filter_map(|entry| {
            let StreamEntry { instance, run, stream, pipe, fd } = entry;
            let fd = os::inherited(fd).ok()?;
            Some(CarriedStream { instance, run, stream, pipe, fd })
        });
        let (sockets, notify) = (sockets.collect(), notify.collect());
        let parcel = Parcel { sockets, notify, streams: streams.collect() };
        let listener = (path, os::inherited(listener).ok()?);
        Some(Handover { from, lock: os::inherited(lock).ok()?, listener, parcel })
    }
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

    #[test]
    fn what_is_passed_on_is_taken_by_the_same_process_only() {
        let dir = tempfile::tempdir().unwrap();
        let socket = |address: &str| CarriedSocket {
            service: "web".into(),
            address: address.into(),
            fd: descriptor(),
        };
        let handover = Handover {
            from: "0.1.0".into(),
            lock: descriptor(),
            listener: ("/run/k.sock".into(), descriptor()),
            parcel: Parcel {
                sockets: vec![socket("tcp://127.0.0.1:80")],
                notify: vec![(7, descriptor())],
                streams: vec![CarriedStream {
                    instance: "web".into(),
                    run: 7,
                    stream: "stderr".into(),
                    pipe: 1,
                    fd: descriptor(),
                }],
            },
        };
        let passed = handover.pass_on(dir.path()).unwrap();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "the list has no name");
        let other = passed.variable.replacen(|c: char| c.is_ascii_digit(), "99999", 1);
        assert!(Handover::take(Some(OsStr::new(&other))).is_none());
        assert!(Handover::take(None).is_none());
        let variable = passed.variable.clone();
        // As after execve(2): nobody of this program owns the copies.
        std::mem::forget(passed);
        let taken = Handover::take(Some(OsStr::new(&variable))).unwrap();
        assert_eq!(taken.from, "0.1.0");
        assert_eq!(taken.listener.0, Path::new("/run/k.sock"));
        assert_eq!(taken.parcel.sockets[0].address, "tcp://127.0.0.1:80");
        assert_eq!(taken.parcel.notify[0].0, 7);
        let same =
            |a: &OwnedFd, b: &OwnedFd| os::pipe_inode(a).unwrap() == os::pipe_inode(b).unwrap();
        assert!(same(&taken.lock, &handover.lock));
        assert!(same(&taken.parcel.notify[0].1, &handover.parcel.notify[0].1));
        assert_eq!(taken.parcel.streams[0].stream, "stderr");
        assert!(same(&taken.parcel.streams[0].fd, &handover.parcel.streams[0].fd));
        assert!(Handover::take(Some(OsStr::new(&variable))).is_none(), "once");
    }
}
