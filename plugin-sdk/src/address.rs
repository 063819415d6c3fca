//! Where a server is, as users write it in services.yaml.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};

/// Where a server is: `host:port`, `[::1]:port`, or the absolute path of a Unix socket.
///
/// ```
/// use kennel_plugin::Address;
///
/// let address = Address::parse("[::1]:6379").unwrap();
/// assert_eq!(address.host(), Some("::1"));
/// assert_eq!(Address::parse("/run/redis.sock").unwrap().host(), None);
/// assert!(Address::parse("localhost").is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `host:port`, as [`Host::connect`](crate::Host::connect) takes it.
    Tcp(String),
    /// A path, as [`Host::connect_unix`](crate::Host::connect_unix) takes it.
    Unix(String),
}

impl Address {
    /// Reads an address, or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Address, String> {
        if text.starts_with('/') {
            return Ok(Address::Unix(text.to_owned()));
        }
        let wrong = |what: &str| {
            Err(format!("\"{text}\" {what}; wanted is host:port or the path of a Unix socket"))
        };
        if text.contains("://") {
            return wrong("is a URL");
        }
        let Some((host, port)) = text.rsplit_once(':') else {
            return wrong("has no port");
        };
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return wrong("is an IPv6 address without brackets, as in [::1]:6379");
        }
        let name = bare.unwrap_or(host);
        if name.is_empty() {
            return wrong("has no host");
        }
        if name.contains(|c: char| c.is_whitespace() || c.is_control() || "/@[]".contains(c)) {
            return wrong("has no valid host");
        }
        match port.parse::<u16>() {
            Ok(1..) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Address::Tcp(text.to_owned()))
            }
            _ => wrong("has no port from 1 to 65535"),
        }
    }

    /// The host's name or number, without brackets; none for a Unix socket.
    pub fn host(&self) -> Option<&str> {
        let Address::Tcp(authority) = self else { return None };
        let (host, _) = authority.rsplit_once(':')?;
        Some(host.trim_start_matches('[').trim_end_matches(']'))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Address::Tcp(text) | Address::Unix(text)) = self;
        f.write_str(text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        let text = String::deserialize(deserializer)?;
        Address::parse(&text).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_with_a_port_or_a_path() {
        for (text, host) in [
            ("127.0.0.1:6379", Some("127.0.0.1")),
            ("db.example.com:5432", Some("db.example.com")),
            ("[::1]:6379", Some("::1")),
            ("/run/redis.sock", None),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.host(), host);
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn what_is_no_address_is_told_why() {
        for (text, why) in [
            ("", "has no port"),
            ("localhost", "has no port"),
            (":6379", "has no host"),
            ("[]:6379", "has no host"),
            ("::1:6379", "without brackets"),
            ("a b:1", "no valid host"),
            ("redis://a:1", "is a URL"),
            ("user@a:1", "no valid host"),
            ("a:0", "from 1 to 65535"),
            ("a:65536", "from 1 to 65535"),
            ("a:+1", "from 1 to 65535"),
            ("run/redis.sock", "has no port"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
