//! A grant of `http`: an origin, as browsers know it (RFC 6454).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::net::{name, no_ipv6, port_number};
use super::{GrantError, address, plain_name};

/// The scheme of a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Without TLS.
    Http,
    /// With TLS.
    Https,
}

impl Scheme {
    /// The port of a URL that names none.
    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        })
    }
}

/// Scheme, host and port that requests may go to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin {
    scheme: Scheme,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads an origin: `https://hooks.example.com`, `http://127.0.0.1:8080`.
    ///
    /// # Errors
    /// It is none, or it is more than an origin.
    pub fn parse(text: &str) -> Result<Origin, GrantError> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(if text.is_empty() {
                GrantError::new("an origin is missing").hint("as in \"https://hooks.example.com\"")
            } else {
                GrantError::new(format!("{text:?} has no scheme"))
                    .hint(format!("\"https://{text}\" or \"http://{text}\""))
            });
        };
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => {
                let error = GrantError::new(format!("{scheme:?} in {text:?} is no known scheme"));
                return Err(error.hint("http or https"));
            }
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !matches!(path, "" | "/") {
            let error = GrantError::new(format!("{text:?} is more than an origin"));
            let hint = format!("a path cannot be granted by itself: \"{scheme}://{authority}\"");
            return Err(error.hint(hint));
        }
        let (host, port) = split(authority, text)?;
        let port = match port {
            Some("*") => {
                let error = GrantError::new(format!("{text:?} has no port of its own"));
                return Err(error.hint("name each origin with its port"));
            }
            Some(port) => port_number(port, text)?,
            None => scheme.default_port(),
        };
        Ok(Origin { scheme, host, port })
    }

    /// With or without TLS.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// A name, or an address without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, also where the text has none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether a request belongs to it.
    pub(super) fn is(&self, scheme: Scheme, host: &str, port: u16) -> bool {
        let host = match address::parse(host) {
            Some(address) => address.to_string(),
            None => plain_name(host),
        };
        self.scheme == scheme && self.port == port && self.host == host
    }
}

/// The host, plain, and the port's text.
fn split<'a>(authority: &'a str, text: &str) -> Result<(String, Option<&'a str>), GrantError> {
    if authority.contains('@') {
        let error = GrantError::new(format!("{text:?} is more than an origin"));
        return Err(error.hint("leave out user and password"));
    }
    if let Some(rest) = authority.strip_prefix('[') {
        let no_end = || GrantError::new(format!("{text:?} has no \"]\""));
        let (inside, port) = rest.split_once(']').ok_or_else(no_end)?;
        let v6: Ipv6Addr = inside.parse().map_err(|_| no_ipv6(inside, text))?;
        let port = match port.strip_prefix(':') {
            Some(port) => Some(port),
            None if port.is_empty() => None,
            None => return Err(GrantError::new(format!("{port:?} in {text:?} is no port"))),
        };
        return Ok((address::canonical(v6.into()).to_string(), port));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, _)) if host.contains(':') => {
            let error = GrantError::new(format!("{text:?} has more than one port"));
            return Err(error.hint("an IPv6 address stands in brackets, as in \"http://[::1]\""));
        }
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    match host.parse::<Ipv4Addr>() {
        Ok(v4) => Ok((IpAddr::V4(v4).to_string(), port)),
        Err(_) => Ok((name(host, text)?, port)),
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Origin { scheme, host, port } = self;
        write!(f, "{scheme}://")?;
        match host.contains(':') {
            true => write!(f, "[{host}]")?,
            false => f.write_str(host)?,
        }
        if *port == scheme.default_port() { Ok(()) } else { write!(f, ":{port}") }
    }
}
