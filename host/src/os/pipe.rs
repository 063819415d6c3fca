//! The pipe a service writes its output to, which outlives the supervisor.
//!
//! ```text
//! service 1,2 ──(read-write)──► pipe ──(read, non-blocking)──► capture
//! ```
//!
//! The service's end is opened read-write, through `/proc/self/fd`. So the service is a
//! reader of its own pipe: when the supervisor dies, writing raises no SIGPIPE, what was
//! written stays in the pipe, and the next supervisor opens it through
//! `/proc/<pid>/fd/1`. EOF still arrives here when the last process of the service that
//! holds the pipe has gone, since that closes the last write side.
//!
//! A full pipe blocks the service as long as nobody reads, so it is made as large as the
//! kernel allows.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::pipe2;

/// What a pipe holds when nobody enlarges it (`pipe(7)`).
const DEFAULT_BYTES: i32 = 64 * 1024;

/// Both ends of an output pipe, close-on-exec.
#[derive(Debug)]
pub struct OutputPipe {
    /// For the capture; non-blocking.
    pub reader: OwnedFd,
    /// For the service; read-write and blocking. Drop the supervisor's copy, or EOF
    /// never arrives.
    pub service: OwnedFd,
}

/// Makes the pipe for the output of one service.
///
/// # Errors
/// `EMFILE` or `ENFILE`.
pub fn output_pipe() -> io::Result<OutputPipe> {
    let (reader, service) = outliving_pipe()?;
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    enlarge(&reader);
    Ok(OutputPipe { reader, service })
}

/// A pipe: our end, and the one of a service, which is its reader as well.
fn outliving_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    // std opens close-on-exec.
    match OpenOptions::new().read(true).write(true).open(path) {
        Ok(both) => Ok((reader, both.into())),
        // Without /proc the service is no reader of its own pipe: a start that does not
        // outlive the supervisor is better than none.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok((reader, writer)),
        Err(error) => Err(error),
    }
}

/// Makes a pipe for a service to tell something: our end, which does not block, and the
/// service's, both close-on-exec. Drop the second one, or EOF never arrives. Like the pipe
/// for output it outlives us.
///
/// # Errors
/// `EMFILE` or `ENFILE`.
pub fn ready_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, service) = outliving_pipe()?;
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((reader, service))
}

/// Opens the pipe again that process `pid` writes to as descriptor `number`, to go on
/// where an earlier supervisor left off. The caller has checked who `pid` is.
///
/// # Errors
/// `PermissionDenied` for a process of another user; `InvalidInput` when the descriptor
/// is no pipe.
pub fn reopen_output(pid: i32, number: RawFd) -> io::Result<OwnedFd> {
    let path = format!("/proc/{pid}/fd/{number}");
    // Looked at first: opening some devices acts on them.
    if !fs::metadata(&path)?.file_type().is_fifo() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the output is no pipe"));
    }
    let flags = OFlag::O_NONBLOCK.bits();
    let reader: File = OpenOptions::new().read(true).custom_flags(flags).open(path)?;
    Ok(reader.into())
}

/// Opens the pipe with this inode again that one of the processes `pids` holds, wherever it
/// holds it. The caller has checked who they are.
///
/// # Errors
/// `NotFound` when none of them holds it; `PermissionDenied` when one of them may not be
/// looked at and none of the others holds it.
pub fn reopen_pipe(pids: &[i32], inode: u64) -> io::Result<OwnedFd> {
    let wanted = format!("pipe:[{inode}]");
    let mut failed = io::Error::from(ErrorKind::NotFound);
    for &pid in pids {
        match reopen_pipe_of(pid, &wanted, inode) {
            Ok(pipe) => return Ok(pipe),
            Err(error) if error.kind() == ErrorKind::PermissionDenied => failed = error,
            Err(_) => {}
        }
    }
    Err(failed)
}

/// A shell moves its descriptors about while it writes (`echo x >&2`), and a look at them
/// takes a while: one may miss what is there all along. Many in a row do not.
const LOOKS: usize = 64;

fn reopen_pipe_of(pid: i32, wanted: &str, inode: u64) -> io::Result<OwnedFd> {
    for _ in 0..LOOKS {
        for number in descriptors(pid, wanted)? {
            // Between the look and the opening it may have become another one.
            match reopen_output(pid, number) {
                Ok(pipe) if pipe_inode(&pipe).is_ok_and(|found| found == inode) => return Ok(pipe),
                Ok(_) | Err(_) => {}
            }
        }
        std::thread::yield_now();
    }
    Err(ErrorKind::NotFound.into())
}

/// The inode of a pipe or a socket, which names it for as long as somebody holds it.
///
/// # Errors
/// As `fstat(2)`.
pub fn pipe_inode(pipe: &OwnedFd) -> io::Result<u64> {
    Ok(nix::sys::stat::fstat(pipe)?.st_ino)
}

/// The descriptors of a process that lead to `wanted`, as `proc_pid_fd(5)` writes it.
///
/// # Errors
/// `PermissionDenied` for a process that may not be looked at; `NotFound` for none.
pub(super) fn descriptors(pid: i32, wanted: &str) -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let entry = entry?;
        let leads_there =
            fs::read_link(entry.path()).is_ok_and(|target| target.as_os_str() == wanted);
        if leads_there {
            numbers.extend(entry.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok()));
        }
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// As far as the kernel allows; a small pipe is no reason to fail.
fn enlarge(pipe: &OwnedFd) {
    let limit = fs::read_to_string("/proc/sys/fs/pipe-max-size").ok();
    let mut bytes = limit.and_then(|text| text.trim().parse().ok()).unwrap_or(1 << 20);
    while bytes > DEFAULT_BYTES {
        // EPERM: beyond what this user's pipes may hold together (pipe(7)).
        match fcntl(pipe.as_fd(), FcntlArg::F_SETPIPE_SZ(bytes)) {
            Err(Errno::EPERM | Errno::ENOMEM) => bytes /= 2,
            Ok(_) | Err(_) => return,
        }
    }
}
