//! Sockets that Kennel opens for a service and hands to its processes.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::checker::Checker;
use super::raw::{RawMode, RawSocket, RawSocketLong};
use super::source::{Problem, Span, quoted};
use super::suggest;
use super::supervisor::MAX_SOCKET_PATH_BYTES;
use super::tree::{Kind, Node};
use crate::os::SocketAddress;

/// More than any service has by intention; each is a descriptor in every process.
const MAX_SOCKETS: usize = 64;

/// The longest name that `sd_listen_fds_with_names(3)` allows.
const MAX_NAME_BYTES: usize = 255;

/// What the kernel allows by itself since Linux 5.4, `net.core.somaxconn`.
const DEFAULT_BACKLOG: u32 = 4096;

/// Who runs the service, and nobody else.
const DEFAULT_MODE: u32 = 0o600;

/// A socket that is opened for a service and kept over its restarts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SocketConfig {
    /// Where it is, unique in the configuration.
    pub address: SocketAddress,
    /// How the service knows it, by `LISTEN_FDNAMES` of `sd_listen_fds_with_names(3)`; not
    /// unique.
    pub name: String,
    /// How many connections may wait to be accepted; 1 to 65535.
    pub backlog: u32,
    /// Who may connect, as mode bits of the file of a Unix socket, 0 to 0o777.
    pub mode: u32,
}

/// What is wrong with a text, and advice.
type Fault = (String, String);

/// Checks `sockets` of the service at `service`.
pub(super) fn check(
    raw: Option<&Vec<RawSocket>>,
    service: &Node,
    checker: &mut Checker<'_>,
) -> Vec<SocketConfig> {
    let (Some(raw), Some(node)) = (raw, service.get("sockets")) else { return Vec::new() };
    let Kind::Sequence(items) = &node.kind else { return Vec::new() };
    // A list in the list could not be read and was left out.
    let readable = items.iter().filter(|item| !matches!(item.kind, Kind::Sequence(_)));
    let sockets: Vec<SocketConfig> =
        raw.iter().zip(readable).filter_map(|(raw, node)| one(raw, node, checker)).collect();
    if items.len() > MAX_SOCKETS {
        let message = format!("{} sockets, more than {MAX_SOCKETS}", items.len());
        checker.problems.error(Problem::at(node.span, message));
    }
    sockets
}

fn one(raw: &RawSocket, node: &Node, checker: &mut Checker<'_>) -> Option<SocketConfig> {
    let short = RawSocketLong::default();
    let (text, at, long) = match raw {
        RawSocket::Scalar(text) => (text, node, &short),
        RawSocket::Mapping(long) => match (&long.listen, node.get("listen")) {
            (Some(text), Some(at)) => (text, at, long),
            (None, Some(at)) if !at.is_null() => return None,
            (_, _) => {
                let hint = "write { listen: tcp://127.0.0.1:8080 }";
                let problem = Problem::at(node.span, "a socket without \"listen\"").hint(hint);
                checker.problems.error(problem);
                return None;
            }
        },
    };
    let address = match address(text, at.span, checker) {
        Ok(address) => address,
        Err((message, hint)) => {
            checker.problems.error(Problem::at(at.span, message).hint(hint));
            return None;
        }
    };
    let RawSocketLong { listen: _, name, backlog, mode } = long;
    only_where_it_means_something(&address, long, node, checker);
    let name = match name {
        Some(name) => {
            name_fault(name, node, checker);
            name.clone()
        }
        None => default_name(&address),
    };
    Some(SocketConfig {
        address,
        name,
        backlog: checker.within(node, "backlog", backlog.unwrap_or(DEFAULT_BACKLOG), 1..=65_535),
        mode: mode.as_ref().map_or(DEFAULT_MODE, |RawMode(mode)| *mode),
    })
}

/// Refuses options that the socket has no use for.
fn only_where_it_means_something(
    address: &SocketAddress,
    long: &RawSocketLong,
    node: &Node,
    checker: &mut Checker<'_>,
) {
    let (takes_mode, takes_backlog) = match address {
        SocketAddress::Tcp(_) | SocketAddress::Abstract(_) => (false, true),
        SocketAddress::Udp(_) => (false, false),
        SocketAddress::Unix(_) => (true, true),
    };
    if long.mode.is_some() && !takes_mode {
        let message = format!("\"mode\" of {address}, which is no file");
        checker.error(node, "mode", message, Some("take it out"));
    }
    if long.backlog.is_some() && !takes_backlog {
        let message = format!("\"backlog\" of {address}, which has no connections");
        checker.error(node, "backlog", message, Some("take it out"));
    }
}

fn name_fault(name: &str, node: &Node, checker: &mut Checker<'_>) {
    let fits = |c: char| c.is_ascii() && !c.is_ascii_control() && c != ':';
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(fits) {
        let message = format!("{} cannot be the name of a socket", quoted(name));
        let hint = format!("1 to {MAX_NAME_BYTES} characters of ASCII without \":\"");
        checker.error(node, "name", message, Some(&hint));
    }
}

/// `tcp-8080`, `udp-53`; of a Unix socket the name of its file.
fn default_name(address: &SocketAddress) -> String {
    let tame = |text: &str| -> String {
        let fits = |c: &char| c.is_ascii_graphic() && *c != ':';
        text.chars().filter(fits).take(MAX_NAME_BYTES).collect()
    };
    let name = match address {
        SocketAddress::Tcp(at) => format!("tcp-{}", at.port()),
        SocketAddress::Udp(at) => format!("udp-{}", at.port()),
        SocketAddress::Unix(path) => {
            tame(&path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default())
        }
        SocketAddress::Abstract(name) => tame(name),
    };
    if name.is_empty() { "unix".to_owned() } else { name }
}

fn address(text: &str, span: Span, checker: &Checker<'_>) -> Result<SocketAddress, Fault> {
    let resolve = |path: &str| checker.sources.resolve(span.file, path);
    let shown = quoted(text);
    let Some((scheme, rest)) = text.split_once(':') else {
        return Err(schemeless(text));
    };
    match scheme {
        "tcp" | "udp" => {
            let Some(rest) = rest.strip_prefix("//") else {
                let hint = format!("write \"{scheme}://{rest}\"");
                return Err((format!("{shown} is no address of a socket"), hint));
            };
            let at = internet(text, scheme, rest)?;
            Ok(if scheme == "tcp" { SocketAddress::Tcp(at) } else { SocketAddress::Udp(at) })
        }
        "unix" => local(text, rest, resolve),
        "http" | "https" | "ws" | "wss" => {
            let hint = format!("write \"tcp:{rest}\": what is spoken there is up to the service");
            Err((format!("{shown} is no address of a socket"), hint))
        }
        _ if !rest.starts_with("//") => Err(schemeless(text)),
        _ => {
            let hint = suggest::did_you_mean(scheme, ["tcp", "udp", "unix"])
                .unwrap_or_else(|| "there are tcp, udp and unix".to_owned());
            Err((format!("{shown} has the unknown scheme {}", quoted(scheme)), hint))
        }
    }
}

fn schemeless(text: &str) -> Fault {
    let hint = if text.starts_with(['/', '.', '@']) {
        format!("write \"unix:{text}\"")
    } else if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        format!("write \"tcp://127.0.0.1:{text}\"")
    } else if text.contains(':') {
        format!("write \"tcp://{text}\"")
    } else {
        "write tcp://ADDRESS:PORT, udp://ADDRESS:PORT or unix:PATH".to_owned()
    };
    (format!("{} is no address of a socket: it has no scheme", quoted(text)), hint)
}

/// An address and a port. Names are not looked up: what they mean may change between two
/// starts, and a resolver may not be there yet.
fn internet(text: &str, scheme: &str, rest: &str) -> Result<SocketAddr, Fault> {
    let shown = quoted(text);
    let fault = |why: &str, hint: String| Err((format!("{shown} {why}"), hint));
    if let Some((bare, _)) = rest.split_once(['/', '?', '#']) {
        let hint = format!("write \"{scheme}://{bare}\"");
        return fault("has a path in it", hint);
    }
    if rest.bytes().all(|byte| byte.is_ascii_digit()) && !rest.is_empty() {
        let hint = format!("write \"{scheme}://127.0.0.1:{rest}\", or 0.0.0.0 for all interfaces");
        return fault("is no address: the host is missing", hint);
    }
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        Some(_) | None => {
            let hint = format!("write \"{scheme}://{rest}:PORT\"");
            return fault("is no address: the port is missing", hint);
        }
    };
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    let number = match port.parse::<u16>() {
        Ok(number @ 1..) if digits => number,
        Ok(_) | Err(_) => {
            let why =
                format!("is no address: the port {} is no number from 1 to 65535", quoted(port));
            return fault(&why, format!("write \"{scheme}://{host}:8080\""));
        }
    };
    match host {
        "localhost" => return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, number))),
        "" | "*" => {
            let hint =
                format!("write \"{scheme}://127.0.0.1:{port}\", or 0.0.0.0 for all interfaces");
            return fault("is no address: the host is missing", hint);
        }
        _ => {}
    }
    if let Ok(at) = format!("{host}:{number}").parse() {
        return Ok(at);
    }
    if host.contains(':') && !host.starts_with('[') {
        let hint = format!("write \"{scheme}://[{host}]:{port}\"");
        return fault("is no address: an IPv6 address stands in brackets", hint);
    }
    let why =
        format!("is no address: {} is no IP address, and names are not looked up", quoted(host));
    fault(&why, "write an address of this machine, or localhost".to_owned())
}

fn local(
    text: &str,
    rest: &str,
    resolve: impl Fn(&str) -> PathBuf,
) -> Result<SocketAddress, Fault> {
    let shown = quoted(text);
    let missing = || (format!("{shown} names no socket"), "write unix:/run/web.sock".to_owned());
    let too_long = |what: &str| {
        let message =
            format!("the socket's {what} in {shown} is longer than {MAX_SOCKET_PATH_BYTES} bytes");
        (message, "choose a shorter one".to_owned())
    };
    // unix:///run/x as in a URL, where the host is empty.
    let path = match rest.strip_prefix("//") {
        Some(path) if path.starts_with(['/', '@']) => path,
        Some("") => return Err(missing()),
        Some(path) => {
            let hint = format!("write \"unix:///{path}\", or \"unix:{path}\" for a path from here");
            return Err((format!("{shown} has a host in it"), hint));
        }
        None => rest,
    };
    if path.contains('\0') || path.is_empty() || path == "@" || path.ends_with('/') {
        return Err(missing());
    }
    if let Some(name) = path.strip_prefix('@') {
        if name.len() > MAX_SOCKET_PATH_BYTES {
            return Err(too_long("name"));
        }
        return Ok(SocketAddress::Abstract(name.to_owned()));
    }
    let path = resolve(path);
    if path.as_os_str().len() > MAX_SOCKET_PATH_BYTES {
        return Err(too_long("path"));
    }
    Ok(SocketAddress::Unix(path))
}

/// Notes every address that two sockets have; `services` are the sockets of each service
/// with its node.
pub(super) fn unique<'a>(
    services: impl Iterator<Item = (&'a [SocketConfig], &'a Node)>,
    checker: &mut Checker<'_>,
) {
    let mut places: HashMap<&SocketAddress, Span> = HashMap::new();
    for (sockets, service) in services {
        // With an error in one of them the places are not certain, and there is an error.
        let items = match service.get("sockets").map(|node| &node.kind) {
            Some(Kind::Sequence(items)) if items.len() == sockets.len() => items,
            Some(_) | None => continue,
        };
        for (socket, item) in sockets.iter().zip(items) {
            let span = item.get("listen").unwrap_or(item).span;
            if let Some(first) = places.insert(&socket.address, span) {
                let address = &socket.address;
                let (message, hint) = if first == span {
                    let message = format!("every service has the socket {address}");
                    (message, "take it out of \"defaults\" and give it to one service")
                } else {
                    let first = checker.sources.name(first);
                    let message = format!("a second socket {address}, the first is at {first}");
                    (message, "take one out; replicas of a service share its sockets")
                };
                checker.problems.error(Problem::at(span, message).hint(hint));
            }
        }
    }
}
