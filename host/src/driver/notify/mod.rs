//! How a service tells of itself: `sd_notify(3)`, and a newline on a descriptor as `s6` does.
//!
//! ```text
//!   launch ─► Ears ──(the process exists)──► listener, a task a run
//!                                              │ reads what came, judges who sent it
//!                                              ▼
//!                     Fact::Notified(run, Heard) ─► heard.rs ─► core, status, events
//!                                              │
//!                     taken ◄──────────────────┘ then the next batch, and barriers fall
//! ```
//!
//! The listener waits until the driver has taken what it heard before it reads on, reads
//! as much at a time as there is and no more often than every ten milliseconds. So a
//! service that floods its socket fills nothing, and delays nobody but itself.
//!
//! What cannot be made is a failed start with its reason. What is said by who is no part of
//! the run, or cannot be read, is counted and told of, once a minute at most.
//!
//! Deliberately absent: file descriptors that are kept for a service (`FDSTORE=`).

mod family;
mod heard;
mod hearsay;
mod ignored;
mod listener;
mod message;
mod newline;
mod place;
mod said;

use std::os::fd::OwnedFd;

use super::launch::{Descent, Job};
use crate::config::Notify;
use crate::gate::Gate;
use crate::os::{self, Cause, Cgroup, Inherited, Launch, NotifySocket};

pub(crate) use heard::Heard;
pub(super) use hearsay::Hearsay;
pub(super) use ignored::Ignored;
pub(super) use listener::Flush;
pub(crate) use message::try_message as try_notification;
pub(super) use newline::ReadyPipe;
pub(crate) use place::Place;
pub(super) use said::Said;

/// What hears a service, before its process exists.
pub(super) enum Ears {
    /// It says nothing.
    None,
    /// Messages of `sd_notify(3)` come here.
    Socket(NotifySocket),
    /// A newline comes here, from the descriptor of this number in the service.
    Pipe(OwnedFd, i32),
}

impl Ears {
    /// What they are found by again: the name of the socket, or the number and the inode of
    /// the pipe.
    pub(super) fn names(&self) -> (Option<String>, Option<(i32, u64)>) {
        match self {
            Ears::None => (None, None),
            Ears::Socket(socket) => {
                // A path that is no text is not found again, and the name made anew.
                (socket.name().variable().into_string().ok(), None)
            }
            Ears::Pipe(reader, number) => {
                (None, os::pipe_inode(reader).ok().map(|inode| (*number, inode)))
            }
        }
    }
}

/// Gives a process what it tells by. The variables are set whatever was configured.
pub(super) fn attach(launch: &mut Launch, job: &Job) -> Result<Ears, String> {
    match job.definition.ready.notify() {
        None => Ok(Ears::None),
        Some(Notify::Systemd) => {
            let name = job.place.name(&job.name, job.run, launch.credentials.as_ref());
            let socket = name.and_then(NotifySocket::bind);
            let socket = socket.map_err(|error| {
                format!("cannot make a notification socket: {}", Cause::from_io(&error))
            })?;
            set(launch, "NOTIFY_SOCKET", socket.name().variable());
            if let Some(every) = job.definition.spec.watchdog {
                set(launch, "WATCHDOG_USEC", every.as_micros().to_string());
                launch.pid_variables.push("WATCHDOG_PID".into());
            }
            Ok(Ears::Socket(socket))
        }
        Some(Notify::Fd(number)) => {
            let (reader, descriptor) = os::ready_pipe()
                .map_err(|error| format!("cannot make a pipe: {}", Cause::from_io(&error)))?;
            launch.inherit.push(Inherited { descriptor, number });
            Ok(Ears::Pipe(reader, number))
        }
    }
}

fn set(launch: &mut Launch, name: &str, value: impl Into<std::ffi::OsString>) {
    launch.env.retain(|(known, _)| known != name);
    launch.env.push((name.into(), value.into()));
}

/// What a run is heard by.
pub(super) enum Hearing {
    /// It says nothing.
    None,
    /// Its notification socket; the listener ends with this.
    Socket(Flush),
    /// The pipe that its newline comes through.
    Pipe(ReadyPipe),
}

/// Begins to listen to the process `spawned` of a run.
pub(super) fn listen(
    job: &Job,
    spawned: i32,
    cgroup: Option<Cgroup>,
    descent: &Descent,
    ears: Ears,
    gate: &Gate,
) -> Hearing {
    let (run, facts) = (job.run, &job.facts);
    match ears {
        Ears::None => Hearing::None,
        Ears::Socket(socket) => {
            Hearing::Socket(listener::start(job, spawned, cgroup, descent, socket, gate))
        }
        Ears::Pipe(reader, number) => {
            match newline::start(run, reader, number, gate.clone(), facts.clone()) {
                Ok(pipe) => Hearing::Pipe(pipe),
                Err(error) => {
                    tracing::warn!("cannot read what run {run} says: {error}");
                    Hearing::None
                }
            }
        }
    }
}
