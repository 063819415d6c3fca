//! What a plugin may do. Everything is denied unless it stands here.
//!
//! ```text
//! grants:
//!   net: ["127.0.0.1:6379", "db.internal:5432", "10.0.0.0/8:*", "[fd00::/8]:443"]
//!   http: ["https://hooks.example.com"]
//!   unix: ["/run/app.sock"]
//!   files: ["/var/log/app/events.jsonl"]
//!   exec: true
//!   give_up: true
//! ```
//!
//! The rules of the network, each of which is checked where it cannot be walked round:
//!
//! - *Before the name is resolved*: a name that no grant can allow is not looked up at all,
//!   so that a lookup tells nobody anything ([`Grants::before_dns`]).
//! - *After it*, for every address, and again at every redirect ([`Grants::after_dns`]). A
//!   grant of a name allows what that name resolves to, and only to requests for that
//!   name; a grant of an address or a network allows those addresses under any name.
//! - *Link-local and metadata addresses* hand out a machine's credentials to whoever asks.
//!   Only a grant of that very address allows one, never a name, a network or `*`; writing
//!   an address within IPv6 (`::ffff:169.254.169.254`) changes nothing.
//! - *`net` and `http` do not stand for one another.* `net` lets a plugin say anything to an
//!   address; `http` lets it make requests of one origin, redirects outside of it excluded.
//!   Who allows the one has not thought about the other.
//!
//! Deliberately absent: denials. What is not granted is denied, so there is nothing to
//! subtract and no order to get wrong.

mod address;
mod net;
mod origin;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Component, Path, PathBuf};

pub use address::{canonical, is_special};
pub use net::{NetGrant, NetHost, Ports};
pub use origin::{Origin, Scheme};

/// What the operator allows a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// Addresses that it may connect to.
    pub net: Vec<NetGrant>,
    /// Origins that it may make HTTP requests of.
    pub http: Vec<Origin>,
    /// Unix sockets that it may connect to; absolute.
    pub unix: Vec<PathBuf>,
    /// Files that it may append to; absolute.
    pub files: Vec<PathBuf>,
    /// Run commands as the user of the service.
    pub exec: bool,
    /// A restart policy may declare a service failed.
    pub give_up: bool,
    /// What relative paths of the plugin are relative to; absolute. Empty: to nothing, so that
    /// they mean no path.
    pub folder: PathBuf,
}

/// Why a text is no grant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct GrantError {
    /// What is wrong with it, with the text in quotes.
    pub message: String,
    /// What to write instead, where that is known.
    pub hint: Option<String>,
}

impl GrantError {
    fn new(message: impl Into<String>) -> GrantError {
        GrantError { message: message.into(), hint: None }
    }

    fn hint(mut self, hint: impl Into<String>) -> GrantError {
        self.hint = Some(hint.into());
        self
    }
}

/// What a connection is for, which decides on the kind of grant it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Bytes; needs `net`.
    Tcp,
    /// HTTP requests; needs `http`.
    Http(Scheme),
}

/// Where a connection is to go, before its name is resolved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// What for.
    pub protocol: Protocol,
    /// A name, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Something was not granted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("needs grants: {{ {grant} }}")]
pub struct Denied {
    /// What would allow it, as it stands under `grants:`, as in `net: ["127.0.0.1:6379"]`.
    pub grant: String,
}

impl Denied {
    fn item(key: &str, value: impl fmt::Display) -> Denied {
        Denied { grant: format!("{key}: [\"{}\"]", quotable(&value.to_string())) }
    }

    fn flag(key: &str) -> Denied {
        Denied { grant: format!("{key}: true") }
    }

    /// The grant of an endpoint; of its address in place of its name where one is given.
    fn endpoint(endpoint: &Endpoint, address: Option<IpAddr>) -> Denied {
        let Endpoint { protocol, host, port } = endpoint;
        let host = match address {
            Some(address) => in_brackets(address),
            None => match address::parse(host) {
                Some(address) => in_brackets(address),
                None => plain_name(host),
            },
        };
        match protocol {
            Protocol::Tcp => Denied::item("net", format_args!("{host}:{port}")),
            Protocol::Http(scheme) if *port == scheme.default_port() => {
                Denied::item("http", format_args!("{scheme}://{host}"))
            }
            Protocol::Http(scheme) => {
                Denied::item("http", format_args!("{scheme}://{host}:{port}"))
            }
        }
    }
}

impl Grants {
    /// Whether it is worth resolving the name of `endpoint`.
    ///
    /// # Errors
    /// Whatever it resolves to, it is not granted.
    pub fn before_dns(&self, endpoint: &Endpoint) -> Result<(), Denied> {
        let Endpoint { protocol, host, port } = endpoint;
        if let Some(address) = address::parse(host) {
            return self.after_dns(endpoint, address);
        }
        let possible = match protocol {
            Protocol::Tcp => {
                self.net.iter().any(|grant| grant.names(host, *port) || grant.takes_any_name(*port))
            }
            Protocol::Http(scheme) => self.http.iter().any(|o| o.is(*scheme, host, *port)),
        };
        possible.then_some(()).ok_or_else(|| Denied::endpoint(endpoint, None))
    }

    /// Whether a connection for `endpoint` may go to `address`, one of those that its name
    /// resolved to.
    ///
    /// # Errors
    /// It is not granted.
    pub fn after_dns(&self, endpoint: &Endpoint, address: IpAddr) -> Result<(), Denied> {
        let Endpoint { protocol, host, port } = endpoint;
        let address = canonical(address);
        let named = address::parse(host).is_none();
        match protocol {
            Protocol::Tcp => {
                let name = named.then_some(host.as_str());
                if self.allows_net(name, SocketAddr::new(address, *port)) {
                    return Ok(());
                }
            }
            Protocol::Http(scheme) => {
                let origin = self.http.iter().any(|o| o.is(*scheme, host, *port));
                let very = || {
                    let mut http = self.http.iter();
                    !named || http.any(|o| o.is(*scheme, &address.to_string(), *port))
                };
                if origin && (!is_special(address) || very()) {
                    return Ok(());
                }
            }
        }
        Err(Denied::endpoint(endpoint, is_special(address).then_some(address)))
    }

    /// Whether the address may be connected to, for a request for `host` where there was a
    /// name. Without one, as on a socket of WASI, grants of names do not apply, except that
    /// `localhost` is the loopback addresses.
    pub fn allows_net(&self, host: Option<&str>, address: SocketAddr) -> bool {
        self.net.iter().any(|grant| grant.allows(host, canonical(address.ip()), address.port()))
    }

    /// Whether a plugin that resolves names itself may resolve this one.
    ///
    /// # Errors
    /// No grant speaks of it.
    pub fn lookup(&self, host: &str) -> Result<(), Denied> {
        let possible = address::parse(host).is_some()
            || self.net.iter().any(|grant| grant.is_about(host))
            || self.http.iter().any(|origin| origin.host() == plain_name(host));
        let denied = || Denied::item("net", format_args!("{}:*", plain_name(host)));
        possible.then_some(()).ok_or_else(denied)
    }

    /// What would allow a connection to this address.
    pub fn net_denied(address: SocketAddr) -> Denied {
        let host = in_brackets(canonical(address.ip()));
        Denied::item("net", format_args!("{host}:{}", address.port()))
    }

    /// The Unix socket that `path` means; a relative one is relative to the folder.
    ///
    /// # Errors
    /// It is not granted.
    pub fn unix(&self, path: &str) -> Result<PathBuf, Denied> {
        self.among(&self.unix, path).ok_or_else(|| Denied::item("unix", path))
    }

    /// The file that `path` means; a relative one is relative to the folder.
    ///
    /// # Errors
    /// It is not granted.
    pub fn file(&self, path: &str) -> Result<PathBuf, Denied> {
        self.among(&self.files, path).ok_or_else(|| Denied::item("files", path))
    }

    /// Whether commands may be run.
    ///
    /// # Errors
    /// They may not.
    pub fn exec(&self) -> Result<(), Denied> {
        self.exec.then_some(()).ok_or_else(|| Denied::flag("exec"))
    }

    /// Whether a service may be declared failed.
    ///
    /// # Errors
    /// It may not.
    pub fn give_up(&self) -> Result<(), Denied> {
        self.give_up.then_some(()).ok_or_else(|| Denied::flag("give_up"))
    }

    /// The path among those granted that a plugin means.
    fn among(&self, granted: &[PathBuf], asked: &str) -> Option<PathBuf> {
        let asked = plain_path(&self.folder.join(asked))?;
        granted.iter().find(|path| plain_path(path).as_ref() == Some(&asked)).cloned()
    }
}

/// Reads a path of `unix` or `files`; a relative one is relative to `folder`. What comes
/// is absolute and free of `.` and `..`.
///
/// # Errors
/// There is no path in it.
pub fn parse_path(text: &str, folder: &Path) -> Result<PathBuf, GrantError> {
    if text.is_empty() {
        return Err(GrantError::new("a path is missing").hint("as in \"/run/app.sock\""));
    }
    if text.contains('\0') {
        return Err(GrantError::new(format!("{text:?} is no path: it holds a null byte")));
    }
    if text.contains("://") {
        let error = GrantError::new(format!("{text:?} is a URL where a path is expected"));
        return Err(error.hint("URLs stand under \"http\""));
    }
    if text.ends_with('/') {
        let error = GrantError::new(format!("{text:?} is a folder where a file is expected"));
        return Err(error.hint("grant each path in it that is needed"));
    }
    plain_path(&folder.join(text))
        .ok_or_else(|| GrantError::new(format!("{text:?} leads above the root of the file system")))
}

/// An absolute path without `.` and `..`, by its text alone: what a plugin sees of the
/// file system is its grants.
fn plain_path(path: &Path) -> Option<PathBuf> {
    if !path.is_absolute() {
        return None;
    }
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::RootDir | Component::Normal(_) => plain.push(part),
            Component::CurDir => {}
            Component::ParentDir => {
                if !plain.pop() {
                    return None;
                }
            }
            Component::Prefix(_) => return None,
        }
    }
    Some(plain)
}

/// A name as it is compared: case and the dot of the root do not matter.
fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
}

fn in_brackets(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// Text of a plugin, fit to stand in a message between quotes: in one line, of bounded
/// length.
fn quotable(text: &str) -> String {
    const CHARS_MAX: usize = 300;
    let mut shown: String = text.chars().take(CHARS_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}
