//! Services that tell of themselves: `ready.notify` and `watchdog`.

use std::time::Duration;

use super::checker::Checker;
use super::health::ReadyWhen;
use super::raw::{RawDuration, RawNotify, RawNotifyFd, RawNotifyWord};
use super::tree::{Kind, Node};

/// How a service says that it is ready.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Notify {
    /// `READY=1` on the socket that `NOTIFY_SOCKET` names, `sd_notify(3)`.
    Systemd,
    /// A newline on the descriptor of this number, as `s6` has it.
    Fd(i32),
}

impl ReadyWhen {
    /// How it says so itself, if it does.
    pub(crate) fn notify(&self) -> Option<Notify> {
        match self {
            ReadyWhen::Notifies(notify) => Some(*notify),
            ReadyWhen::Running | ReadyWhen::Passes(_) | ReadyWhen::Logs(_) => None,
        }
    }
}

/// The first descriptor that a service can be given.
const FIRST_FD: u32 = 3;
/// One more than the last.
const FDS_END: u32 = 1024;

/// Checks `ready.notify`; `node` is `ready` of the service at `service`.
pub(super) fn notify(
    raw: &RawNotify,
    node: &Node,
    service: &Node,
    checker: &mut Checker<'_>,
) -> Option<Notify> {
    let number = match raw {
        RawNotify::Scalar(RawNotifyWord::Systemd) => return Some(Notify::Systemd),
        RawNotify::Mapping(RawNotifyFd { fd: Some(number) }) => *number,
        RawNotify::Mapping(RawNotifyFd { fd: None }) => {
            // One that could not be read was told of.
            if node.find("notify.fd").is_none_or(Node::is_null) {
                let hint = Some("write { fd: 3 }, or systemd");
                checker.error(node, "notify", "\"fd\" is missing".to_owned(), hint);
            }
            return None;
        }
    };
    checker.within(node, "notify.fd", number, FIRST_FD..=FDS_END - 1);
    // Sockets are handed over from the first number on, sd_listen_fds(3).
    let sockets = match service.get("sockets").map(|sockets| &sockets.kind) {
        Some(Kind::Sequence(items)) => u32::try_from(items.len()).unwrap_or(FDS_END),
        Some(Kind::Scalar(_) | Kind::Mapping(_)) | None => 0,
    };
    let first_free = FIRST_FD.saturating_add(sockets);
    if (FIRST_FD..first_free).contains(&number) {
        let message = format!("descriptor {number} is that of one of the \"sockets\"");
        let hint = format!("take another, such as {first_free}");
        checker.error(node, "notify.fd", message, Some(&hint));
    }
    i32::try_from(number).ok().map(Notify::Fd)
}

/// Checks `watchdog` of a service that is known to be ready in this way.
pub(super) fn watchdog(
    raw: Option<&RawDuration>,
    ready: &ReadyWhen,
    service: &Node,
    checker: &mut Checker<'_>,
) -> Option<Duration> {
    let raw = raw?;
    let every = checker.positive(service, "watchdog", Some(raw), Duration::ZERO);
    match ready {
        ReadyWhen::Notifies(Notify::Systemd) => {}
        ReadyWhen::Running
        | ReadyWhen::Passes(_)
        | ReadyWhen::Logs(_)
        | ReadyWhen::Notifies(Notify::Fd(_)) => {
            let message = "\"watchdog\" without \"ready: { notify: systemd }\"".to_owned();
            let hint = "the service sends WATCHDOG=1 to the socket that it gets with it";
            checker.error(service, "watchdog", message, Some(hint));
        }
    }
    (!every.is_zero()).then_some(every)
}
