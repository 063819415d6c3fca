//! Sockets that are held for services: opened at the first start, closed when nobody
//! waits for the service any more.
//!
//! ```text
//!   waiting, starting, up, stopping, backoff     held: who connects waits in the queue
//!   down, failed, done, or gone                  closed: who connects is refused
//! ```
//!
//! All instances of a service share its sockets. Opening and closing touch the file system
//! and happen on the blocking pool; the loop says only what is wanted.

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kennel_core::{Event, InstanceId, InstanceView, State, View};

use crate::config::SocketConfig;
use crate::os::{self, HeldSocket, Inherited, Launch, ListenError, SocketAddress, SocketOptions};
use crate::state::CarriedSocket;
use crate::status::SocketStatus;

/// The number of the first socket in a process, `sd_listen_fds(3)`.
const FIRST: i32 = 3;

/// The sockets of every service that has any.
#[derive(Default)]
pub(super) struct Sockets {
    held: HashMap<Arc<str>, Held>,
    /// Instances that events told of, with their services.
    touched: HashMap<InstanceId, Arc<str>>,
}

/// The sockets of one service. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Held(Arc<Shared>);

#[derive(Default)]
struct Shared {
    sockets: Mutex<Vec<HeldSocket>>,
    /// Whether there are any, without waiting for who opens them.
    is_open: AtomicBool,
    /// A start that was asked for after a close keeps them open.
    is_wanted: AtomicBool,
}

/// Whether other processes work on the sockets of a service.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Company {
    /// None does.
    Alone,
    /// Other instances do.
    Others,
}

impl Sockets {
    /// For a start of an instance of `service`; none when it neither has nor had sockets.
    pub(super) fn wanted(&mut self, service: &Arc<str>, sockets: &[SocketConfig]) -> Option<Held> {
        let held = match self.held.get(service) {
            Some(held) => held.clone(),
            None if sockets.is_empty() => return None,
            None => self.held.entry(service.clone()).or_default().clone(),
        };
        held.0.is_wanted.store(true, Ordering::SeqCst);
        Some(held)
    }

    /// Whether a socket of `service` is held at this address.
    pub(super) fn holds(&self, service: &str, address: &SocketAddress) -> bool {
        let sockets = self.held.get(service).map(|held| held.0.lock());
        sockets.is_some_and(|sockets| sockets.iter().any(|held| held.address() == address))
    }

    /// Holds a socket for `service` that its process was given by an earlier supervisor.
    pub(super) fn hold(&mut self, service: &Arc<str>, socket: HeldSocket) {
        let held = self.held.entry(service.clone()).or_default();
        held.0.is_wanted.store(true, Ordering::SeqCst);
        held.0.is_open.store(true, Ordering::SeqCst);
        held.0.lock().push(socket);
    }

    /// Copies of all that are held, for a successor. What is just being opened or closed is
    /// left out.
    pub(super) fn carried(&self) -> Vec<CarriedSocket> {
        let mut carried = Vec::new();
        for (service, held) in &self.held {
            let Ok(sockets) = held.0.sockets.try_lock() else { continue };
            for socket in sockets.iter() {
                // Without a descriptor left it is found in the service, where that is allowed.
                if let Ok(fd) = socket.hand_over() {
                    let (service, address) = (service.to_string(), socket.address().to_string());
                    carried.push(CarriedSocket { service, address, fd });
                }
            }
        }
        carried
    }

    /// Takes note of what may have brought an instance to rest.
    pub(super) fn note(&mut self, event: &Event) {
        let (Some(id), Some(name)) = (event.instance, &event.name) else { return };
        let service = name.split_once('/').map_or(&**name, |(service, _)| service);
        if let Some((service, _)) = self.held.get_key_value(service) {
            self.touched.insert(id, service.clone());
        }
    }

    /// Closes the sockets of services that have come to rest since it was last asked.
    pub(super) fn close_unused(&mut self, view: View<'_>) {
        let mut services = HashSet::new();
        for (id, service) in self.touched.drain() {
            if !view.instance(id).is_some_and(needs_sockets) {
                services.insert(service);
            }
        }
        for service in services {
            let mut instances = view.instances().filter(|i| i.spec().name == service);
            if let Some(held) = self.held.get(&service)
                && !instances.any(needs_sockets)
            {
                held.close();
            }
        }
    }

    /// Forgets the services that are not configured any more, as soon as their sockets are
    /// closed.
    pub(super) fn forget(&mut self, configured: &HashSet<Arc<str>>) {
        self.held.retain(|service, held| configured.contains(service) || held.is_open());
    }

    /// What people see of the sockets of a service.
    pub(super) fn status(&self, service: &str, sockets: &[SocketConfig]) -> Vec<SocketStatus> {
        let is_open = self.held.get(service).is_some_and(Held::is_open);
        let status = |socket: &SocketConfig| SocketStatus {
            name: socket.name.clone(),
            address: socket.address.to_string(),
            open: is_open,
        };
        sockets.iter().map(status).collect()
    }

    /// Closes all. Blocks as long as the file system does.
    pub(super) fn close_all(self) {
        for held in self.held.values() {
            held.0.close(&mut held.0.lock());
        }
    }
}

/// Whether clients of an instance are to wait rather than to be refused.
fn needs_sockets(instance: InstanceView<'_>) -> bool {
    match instance.state() {
        State::Waiting | State::Starting | State::Up | State::Stopping | State::Backoff => true,
        State::Down | State::Failed | State::Done => false,
    }
}

/// Whether other instances of the service of `id` have a process.
pub(super) fn company(view: View<'_>, id: InstanceId, service: &str) -> Company {
    let mut others = view.instances().filter(|i| i.id() != id && &*i.spec().name == service);
    if others.any(|other| other.run().is_some()) { Company::Others } else { Company::Alone }
}

impl Held {
    fn is_open(&self) -> bool {
        self.0.is_open.load(Ordering::SeqCst)
    }

    /// On the blocking pool, unless they are wanted again by then.
    fn close(&self) {
        let shared = self.0.clone();
        shared.is_wanted.store(false, Ordering::SeqCst);
        tokio::task::spawn_blocking(move || {
            let mut sockets = shared.lock();
            if !shared.is_wanted.load(Ordering::SeqCst) {
                shared.close(&mut sockets);
            }
        });
    }

    /// Has the sockets open as they are configured, and gives them to a process as
    /// `sd_listen_fds(3)` says. What they are found by again: where each is, and its inode.
    ///
    /// # Errors
    /// Why one of them cannot be had; the others stay open for the next try.
    pub(super) fn hand_over(
        &self,
        wanted: &[SocketConfig],
        company: Company,
        launch: &mut Launch,
    ) -> Result<Vec<(String, u64)>, String> {
        let owner = launch.credentials.as_ref().map(|who| (who.uid, who.gid));
        let mut sockets = self.0.lock();
        let opened = open(&mut sockets, wanted, owner);
        self.0.is_open.store(!sockets.is_empty(), Ordering::SeqCst);
        opened.map_err(|error| match error.hint() {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        })?;
        let mut given_over = Vec::new();
        for (number, socket) in (FIRST..).zip(sockets.iter()) {
            let given = match company {
                Company::Alone => socket.make_blocking().and_then(|()| socket.hand_over()),
                Company::Others => socket.hand_over(),
            };
            let descriptor =
                given.map_err(|error| format!("cannot hand over {}: {error}", socket.address()))?;
            let inode = os::pipe_inode(&descriptor).unwrap_or_default();
            given_over.push((socket.address().to_string(), inode));
            launch.inherit.push(Inherited { descriptor, number });
        }
        if !wanted.is_empty() {
            let names: Vec<&str> = wanted.iter().map(|socket| socket.name.as_str()).collect();
            let variables =
                [("LISTEN_FDS", wanted.len().to_string()), ("LISTEN_FDNAMES", names.join(":"))];
            for (name, value) in variables {
                launch.env.retain(|(known, _)| known != name);
                launch.env.push((OsString::from(name), OsString::from(value)));
            }
            launch.pid_variables.push("LISTEN_PID".into());
        }
        Ok(given_over)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Vec<HeldSocket>> {
        self.sockets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, sockets: &mut Vec<HeldSocket>) {
        sockets.clear();
        self.is_open.store(false, Ordering::SeqCst);
    }
}

/// Brings `sockets` to what is wanted, in that order: keeps those that are there already,
/// opens others, closes the rest. After an error those that are open stay so.
fn open(
    sockets: &mut Vec<HeldSocket>,
    wanted: &[SocketConfig],
    owner: Option<(u32, u32)>,
) -> Result<(), ListenError> {
    let mut before = std::mem::take(sockets);
    let result = wanted.iter().try_for_each(|socket| {
        let SocketConfig { address, name: _, backlog, mode } = socket;
        let backlog = i32::try_from(*backlog).unwrap_or(i32::MAX);
        let options = SocketOptions { backlog, mode: *mode, owner };
        let known = before.iter().position(|held| held.address() == address);
        match known.map(|at| before.swap_remove(at)) {
            Some(held) if held.is_reachable() => {
                let adjusted = held.adjust(options);
                sockets.push(held);
                adjusted
            }
            // One whose file is gone is of no use to anybody.
            Some(_) | None => HeldSocket::open(address, options).map(|held| sockets.push(held)),
        }
    });
    if result.is_err() {
        sockets.append(&mut before);
    }
    result
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    fn tcp(port: u16, name: &str) -> SocketConfig {
        let address = SocketAddress::Tcp(([127, 0, 0, 1], port).into());
        SocketConfig { address, name: name.into(), backlog: 16, mode: 0o600 }
    }

    fn free() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    fn is_listening(port: u16) -> bool {
        std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
    }

    #[test]
    fn what_is_configured_no_more_is_closed_and_the_rest_is_kept() {
        let (one, two, three) = (free(), free(), free());
        let held = Held::default();
        let mut launch = Launch::new(["x"]);
        launch.env.push(("LISTEN_FDS".into(), "99".into()));
        held.hand_over(&[tcp(one, "a"), tcp(two, "b")], Company::Alone, &mut launch).unwrap();
        assert_eq!(launch.inherit.iter().map(|i| i.number).collect::<Vec<_>>(), [3, 4]);
        assert_eq!(launch.env.len(), 2);
        assert!(launch.env.contains(&("LISTEN_FDS".into(), "2".into())));
        assert!(launch.env.contains(&("LISTEN_FDNAMES".into(), "a:b".into())));
        assert_eq!(launch.pid_variables, ["LISTEN_PID"]);
        drop(launch);

        // Kept: a connection that nobody has accepted yet is still there.
        let _waiting = std::net::TcpStream::connect(("127.0.0.1", two)).unwrap();
        let mut launch = Launch::new(["x"]);
        held.hand_over(&[tcp(two, "b"), tcp(three, "c")], Company::Alone, &mut launch).unwrap();
        assert!(!is_listening(one));
        assert!(is_listening(three));
        let kept = launch.inherit.swap_remove(0).descriptor;
        TcpListener::from(kept).accept().unwrap();

        let mut launch = Launch::new(["x"]);
        held.hand_over(&[], Company::Alone, &mut launch).unwrap();
        assert!(launch.inherit.is_empty() && launch.env.is_empty());
        assert!(!held.is_open() && !is_listening(two));
    }

    #[test]
    fn a_socket_that_cannot_be_had_closes_no_other() {
        let (one, taken) = (free(), TcpListener::bind("127.0.0.1:0").unwrap());
        let sockets = [tcp(one, "a"), tcp(taken.local_addr().unwrap().port(), "b")];
        let held = Held::default();
        let give = || held.hand_over(&sockets, Company::Alone, &mut Launch::new(["x"]));
        let error = give().unwrap_err();
        assert!(error.starts_with("cannot listen on tcp://127.0.0.1:"), "{error}");
        assert!(is_listening(one) && held.is_open());
        drop(taken);
        give().unwrap();
    }

    #[tokio::test]
    async fn a_start_that_follows_a_stop_at_once_keeps_its_sockets() {
        let port = free();
        let mut sockets = Sockets::default();
        let service: Arc<str> = "web".into();
        let wanted = [tcp(port, "a")];
        let held = sockets.wanted(&service, &wanted).unwrap();
        held.hand_over(&wanted, Company::Alone, &mut Launch::new(["x"])).unwrap();
        let guard = held.0.lock();
        held.close();
        sockets.wanted(&service, &wanted).unwrap();
        drop(guard);
        held.close();
        while held.is_open() {
            tokio::task::yield_now().await;
        }
        assert!(!is_listening(port));
        assert!(sockets.wanted(&"other".into(), &[]).is_none());
    }
}
