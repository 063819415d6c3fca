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
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
    // std opens close-on-exec.
    let service = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(both) => both.into(),
        // Without /proc the service is no reader of its own pipe: a start that does not
        // outlive the supervisor is better than none.
        Err(error) if error.kind() == ErrorKind::NotFound => writer,
        Err(error) => return Err(error),
    };
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    enlarge(&reader);
    Ok(OutputPipe { reader, service })
}

/// Makes a pipe for a service to tell something: our end, which does not block, and the
/// service's, both close-on-exec. Drop the second one, or EOF never arrives.
///
/// # Errors
/// `EMFILE` or `ENFILE`.
pub fn ready_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (reader, writer) = pipe2(OFlag::O_CLOEXEC)?;
    fcntl(reader.as_fd(), FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((reader, writer))
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
