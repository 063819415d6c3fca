//! The operating system: starting processes, telling how they end, signalling them.
//!
//! This is the only part of the crate with `unsafe` in it, and the only one that knows
//! pids. One noun per file:
//!
//! ```text
//! Launch ──► plan ──► spawn ──► Process ──► exit status
//!    │         │        │          └─ pidfd, group signals
//!    │         │        └─ children: the runs that an orphan sweep leaves alone
//!    │         └─ program: the file to execute, or what was meant
//!    └─ credentials, rlimits, output pipe, held sockets, notification socket
//! ```
//!
//! Nothing here changes anything global in an embedding program, with these exceptions,
//! which only the binary calls: [`become_subreaper`], [`reap_orphans`], [`raise_nofile`],
//! [`execute`] and what is in `init`.

pub mod proc;

mod boot;
mod borrow;
mod bounded;
mod cause;
mod cgroup;
mod cgroup_limits;
mod children;
mod clone;
mod credentials;
mod departures;
mod fds;
mod fresh_file;
mod held_socket;
mod init;
mod launch;
mod lock;
mod mark;
mod network_fs;
mod notify;
mod orphans;
mod pid_file;
mod pidfd;
mod pipe;
mod plan;
mod process;
mod program;
mod reexec;
mod rlimit;
mod socket_file;
mod spawn;
mod spawn_error;
mod strays;
mod wait;

#[cfg(test)]
mod tests;

pub use boot::{host_id, monotonic};
pub use borrow::borrow_socket;
pub(crate) use bounded::{Unanswered, bounded};
pub use cause::Cause;
pub use cgroup::{Cgroup, CgroupOfRun, Cgroups, NoCgroups, cgroups_of_runs};
pub use cgroup_limits::{CgroupLimits, SUPERVISOR_CGROUP, Unlimited};
pub use children::has_company;
pub use credentials::{Credentials, CredentialsError};
pub(crate) use departures::Departures;
pub use fds::{open_count, original_nofile, raise_nofile};
pub(crate) use fresh_file::fresh_file;
pub use held_socket::{HeldSocket, ListenError, SocketAddress, SocketOptions};
pub use init::{
    ChildNews, Incoming, give_terminal_to, next_child, signal_group_of_child, stop_ourselves,
};
pub use launch::{Inherited, Launch, Output};
pub use lock::{HolderPlace, LockError, StateLock};
pub use mark::{Mark, Marked, NoStateId, RunMark, StateId, marked};
pub use notify::{Datagram, NotifyName, NotifySocket};
pub use orphans::{Orphan, become_subreaper, reap_orphans};
pub use pid_file::{PidFile, PidFileError};
pub use pipe::{OutputPipe, output_pipe, pipe_inode, ready_pipe, reopen_output, reopen_pipe};
pub use process::{GroupSignals, Process, leave_to_successor, signal_exactly};
pub use program::{ProgramError, find as find_program, near_names};
pub use reexec::{execute, inherited, let_signals_come, number, passable};
pub use rlimit::{Resource, Rlimit, UNLIMITED};
pub(crate) use socket_file::{InTheWay, SocketFile, clear as clear_socket};
pub use spawn::{spawn, spawn_with};
pub use spawn_error::{SpawnError, Step};
pub use strays::{Among, Stray, strays, strays_of};
pub use wait::ExitStatus;
