//! A grant of `net`: a host or a network, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::address::is_special_network;
use super::{GrantError, address, in_brackets, is_special, plain_name};

/// Addresses that a plugin may connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NetGrant {
    /// Where.
    pub host: NetHost,
    /// At which port.
    pub ports: Ports,
}

/// The host of a [`NetGrant`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum NetHost {
    /// What this name resolves to, for requests for this name. Lower case, without a dot
    /// at its end.
    Name(String),
    /// This address, under any name.
    Address(IpAddr),
    /// The addresses that begin with so many bits of this one, under any name.
    Network(IpAddr, u8),
    /// `*`: every address.
    Any,
}

/// The port of a [`NetGrant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ports {
    /// `*`: every port.
    Any,
    /// This one.
    One(u16),
}

impl Ports {
    fn has(self, port: u16) -> bool {
        match self {
            Ports::Any => true,
            Ports::One(one) => one == port,
        }
    }
}

impl NetGrant {
    /// Reads `host:port`, `CIDR:port`, `[IPv6]:port`; both may be `*`.
    ///
    /// # Errors
    /// It is none of these, or one that could never allow anything.
    pub fn parse(text: &str) -> Result<NetGrant, GrantError> {
        if let Some((_, rest)) = text.split_once("://") {
            let error = GrantError::new(format!("{text:?} is a URL where host:port is expected"));
            let host = rest.split('/').next().unwrap_or_default();
            return Err(error.hint(format!(
                "HTTP requests are granted under \"http\"; a connection as in \"{host}\""
            )));
        }
        let (host, port) = split(text)?;
        let ports = match port {
            "*" => Ports::Any,
            _ => Ports::One(port_number(port, text)?),
        };
        Ok(NetGrant { host: host_of(host, text)?, ports })
    }

    /// The name it speaks of, if it speaks of one.
    pub fn name(&self) -> Option<&str> {
        match &self.host {
            NetHost::Name(name) => Some(name),
            NetHost::Address(_) | NetHost::Network(..) | NetHost::Any => None,
        }
    }

    /// Whether it allows requests for this name at this port.
    pub(super) fn names(&self, host: &str, port: u16) -> bool {
        self.name().is_some_and(|name| name == plain_name(host)) && self.ports.has(port)
    }

    /// Whether a name may resolve to something that it allows at this port.
    pub(super) fn takes_any_name(&self, port: u16) -> bool {
        self.name().is_none() && self.ports.has(port)
    }

    /// Whether resolving this name may be of use.
    pub(super) fn is_about(&self, host: &str) -> bool {
        self.name().is_none_or(|name| name == plain_name(host))
    }

    /// Whether a request for `name` may connect to this address, a canonical one.
    pub(super) fn allows(&self, name: Option<&str>, address: IpAddr, port: u16) -> bool {
        if !self.ports.has(port) {
            return false;
        }
        match &self.host {
            NetHost::Address(granted) => *granted == address,
            NetHost::Network(..) | NetHost::Name(_) | NetHost::Any if is_special(address) => false,
            NetHost::Network(network, bits) => within(address, *network, *bits),
            NetHost::Any => true,
            NetHost::Name(granted) => match name {
                Some(name) => *granted == plain_name(name),
                None => granted == "localhost" && is_localhost(address),
            },
        }
    }
}

/// What `localhost` is, whatever a resolver says (RFC 6761).
fn is_localhost(address: IpAddr) -> bool {
    address == IpAddr::V4(Ipv4Addr::LOCALHOST) || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
}

fn within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(n)) => masked_v4(a, bits) == n,
        (IpAddr::V6(a), IpAddr::V6(n)) => masked_v6(a, bits) == n,
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
    }
}

fn masked_v4(address: Ipv4Addr, bits: u8) -> Ipv4Addr {
    let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
    Ipv4Addr::from_bits(address.to_bits() & mask)
}

fn masked_v6(address: Ipv6Addr, bits: u8) -> Ipv6Addr {
    let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
    Ipv6Addr::from_bits(address.to_bits() & mask)
}

/// Host and port. An IPv6 network may stand within the brackets, around them or without.
fn split(text: &str) -> Result<(&str, &str), GrantError> {
    let no_port = |host: &str| {
        GrantError::new(format!("{text:?} has no port"))
            .hint(format!("\"{host}:443\" for one, \"{host}:*\" for all"))
    };
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(if text.is_empty() {
            GrantError::new("an address is missing").hint("as in \"127.0.0.1:6379\"")
        } else {
            no_port(text)
        });
    };
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(no_port(&format!("[{text}]")));
    }
    if text.starts_with('[') && text.ends_with(']') {
        return Err(no_port(text));
    }
    let bare = host.contains(':') && !host.starts_with('[') && !host.contains('/');
    if bare {
        let error = GrantError::new(format!("{text:?} is not host:port"));
        return Err(error.hint("an IPv6 address stands in brackets, as in \"[::1]:6379\""));
    }
    Ok((host, port))
}

pub(super) fn port_number(port: &str, text: &str) -> Result<u16, GrantError> {
    let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(number) if number > 0 && digits => Ok(number),
        Ok(_) | Err(_) => {
            let error = GrantError::new(format!("{port:?} in {text:?} is no port"));
            Err(error.hint("a port is a number from 1 to 65535, or * for all of them"))
        }
    }
}

fn host_of(host: &str, text: &str) -> Result<NetHost, GrantError> {
    if host == "*" {
        return Ok(NetHost::Any);
    }
    if let Some((address, bits)) = host.replace(['[', ']'], "").split_once('/') {
        return network(address, bits, text);
    }
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(inside) => match inside.parse::<Ipv6Addr>() {
            Ok(v6) => Ok(NetHost::Address(address::canonical(v6.into()))),
            Err(_) => Err(no_ipv6(inside, text)),
        },
        None => match host.parse::<Ipv4Addr>() {
            Ok(v4) => Ok(NetHost::Address(v4.into())),
            Err(_) => name(host, text).map(NetHost::Name),
        },
    }
}

pub(super) fn no_ipv6(inside: &str, text: &str) -> GrantError {
    let error = GrantError::new(format!("{inside:?} in {text:?} is no IPv6 address"));
    if inside.contains('%') { error.hint("leave out the zone: it is not compared") } else { error }
}

fn network(address: &str, bits: &str, text: &str) -> Result<NetHost, GrantError> {
    let Ok(address) = address.parse::<IpAddr>() else {
        let error = GrantError::new(format!("{address:?} in {text:?} is no address"));
        return Err(error.hint("a network is an address and a length, as in \"10.0.0.0/8:*\""));
    };
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= most).ok_or_else(|| {
        GrantError::new(format!("\"/{bits}\" in {text:?} is no length of a network"))
            .hint(format!("from 0 to {most} bits"))
    })?;
    // A network of IPv4 within IPv6 is that network of IPv4.
    let (address, bits, most) = match address::canonical(address) {
        v4 @ IpAddr::V4(_) if address.is_ipv6() && bits >= 96 => (v4, bits - 96, 32),
        IpAddr::V4(_) | IpAddr::V6(_) => (address, bits, most),
    };
    let first = match address {
        IpAddr::V4(v4) => IpAddr::V4(masked_v4(v4, bits)),
        IpAddr::V6(v6) => IpAddr::V6(masked_v6(v6, bits)),
    };
    if first != address {
        let error =
            GrantError::new(format!("{address} in {text:?} has bits set after the first {bits}"));
        return Err(error
            .hint(format!("\"{first}/{bits}\" is the network, \"{address}/{most}\" the address")));
    }
    if bits == most {
        return Ok(NetHost::Address(address));
    }
    if is_special_network(address, bits) {
        let error =
            GrantError::new(format!("{text:?} is a network of link-local or metadata addresses"));
        return Err(error.hint("each of these is granted by itself, without a length"));
    }
    Ok(NetHost::Network(address, bits))
}

/// Checks a host name (RFC 1123, with the underscore that internal names use).
pub(super) fn name(host: &str, text: &str) -> Result<String, GrantError> {
    let plain = plain_name(host);
    let bad = |why: &str| GrantError::new(format!("{host:?} in {text:?} is no host name{why}"));
    if plain.is_empty() {
        return Err(GrantError::new(format!("{text:?} has no host")));
    }
    if plain.contains('*') {
        return Err(bad("").hint("name each host; \"*:PORT\" under \"net\" is every address"));
    }
    if !plain.is_ascii() {
        return Err(bad(": it is not ASCII").hint("write the form that begins with xn--"));
    }
    if let Some(c) = plain.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_.".contains(*c)) {
        return Err(bad(&format!(": it holds {c:?}")));
    }
    if plain.len() > 253 || plain.split('.').any(|label| label.is_empty() || label.len() > 63) {
        return Err(bad(": it has a part that is empty or longer than 63 characters"));
    }
    // What ends in a number is an address to a resolver, and 127.1 one that hides.
    let last = plain.rsplit('.').next().unwrap_or_default();
    if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
        let error = GrantError::new(format!("{host:?} in {text:?} is no IPv4 address"));
        return Err(error.hint("four numbers from 0 to 255, as in 127.0.0.1"));
    }
    Ok(plain)
}

impl fmt::Display for NetGrant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NetGrant { host, ports } = self;
        match host {
            NetHost::Name(name) => f.write_str(name)?,
            NetHost::Address(address) => f.write_str(&in_brackets(*address))?,
            NetHost::Network(IpAddr::V4(first), bits) => write!(f, "{first}/{bits}")?,
            NetHost::Network(IpAddr::V6(first), bits) => write!(f, "[{first}/{bits}]")?,
            NetHost::Any => f.write_str("*")?,
        }
        match ports {
            Ports::Any => f.write_str(":*"),
            Ports::One(port) => write!(f, ":{port}"),
        }
    }
}
