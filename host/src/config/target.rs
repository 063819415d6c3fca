//! URLs, addresses and regular expressions: texts with a grammar of their own.

use crate::checks::{Pattern, PatternError};

use super::checker::Checker;
use super::source::{Problem, Span, quoted};
use super::suggest;
use super::tree::Node;

/// What is wrong with a text, and advice.
type Fault = (String, Option<String>);

/// An `http` or `https` URL with a host.
pub(super) fn url(text: &str, node: &Node, key: &str, checker: &mut Checker<'_>) -> Option<String> {
    checked(url_fault(text), text, node, key, checker)
}

/// An address `host:port`.
pub(super) fn address(
    text: &str,
    node: &Node,
    key: &str,
    checker: &mut Checker<'_>,
) -> Option<String> {
    checked(address_fault(text), text, node, key, checker)
}

fn checked(
    fault: Result<(), Fault>,
    text: &str,
    node: &Node,
    key: &str,
    checker: &mut Checker<'_>,
) -> Option<String> {
    match fault {
        Ok(()) => Some(text.to_owned()),
        Err((message, hint)) => {
            checker.error(node, key, message, hint.as_deref());
            None
        }
    }
}

fn url_fault(text: &str) -> Result<(), Fault> {
    let shown = quoted(text);
    if let Some(odd) = text.chars().find(|c| !c.is_ascii_graphic()) {
        let hint = match odd {
            ' ' => "write %20 for a space",
            _ => "write other characters than those of ASCII as %XX",
        };
        return Err((format!("{shown} is no URL: {odd:?} cannot stand in one"), Some(hint.into())));
    }
    let Some((scheme, rest)) = text.split_once("://") else {
        let hint = if text.starts_with('/') {
            format!("write \"http://127.0.0.1:8080{text}\", or \"unix: {text}\" for a socket")
        } else {
            format!("write \"http://{text}\"")
        };
        return Err((format!("{shown} is no URL: it has no scheme"), Some(hint)));
    };
    if !["http", "https"].contains(&scheme.to_ascii_lowercase().as_str()) {
        let hint = suggest::did_you_mean(scheme, ["http", "https"]).unwrap_or_else(|| {
            "http and https are asked; for others there is tcp, and plugins".into()
        });
        return Err((format!("{shown} has the unknown scheme {}", quoted(scheme)), Some(hint)));
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        let hint = "a user and a password are not sent; \
                    the plugin stock:http sends an Authorization header";
        return Err((format!("{shown} has a user in it"), Some(hint.to_owned())));
    }
    let (host, port) = split_port(authority);
    let named = |why| (format!("{shown} is no URL: {why}"), None);
    if let Some(port) = port {
        number(port).map_err(named)?;
    }
    host_fault(host).map_err(named)
}

fn address_fault(text: &str) -> Result<(), Fault> {
    let shown = quoted(text);
    let fault = |why: &str, hint: String| Err((format!("{shown} {why}"), Some(hint)));
    if let Some((_, rest)) = text.split_once("://") {
        let bare = rest.split('/').next().unwrap_or_default();
        return fault("is a URL and no address", format!("write \"{bare}\""));
    }
    if text.starts_with('/') {
        return fault("is a path and no address", format!("write \"unix: {text}\""));
    }
    if text.is_empty() {
        return fault("is no address", "write HOST:PORT".to_owned());
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return fault("is no address: the host is missing", format!("write \"127.0.0.1:{text}\""));
    }
    let (host, port) = split_port(text);
    let Some(port) = port else {
        return fault("is no address: the port is missing", format!("write \"{text}:PORT\""));
    };
    if host.is_empty() {
        let hint = format!("write \"127.0.0.1:{port}\"");
        return fault("is no address: the host is missing", hint);
    }
    if host.contains(':') && !host.starts_with('[') {
        let hint = format!("write \"[{host}]:{port}\"");
        return fault("is no address: an IPv6 address stands in brackets", hint);
    }
    let named = |why| (format!("{shown} is no address: {why}"), Some("write HOST:PORT".to_owned()));
    number(port).map_err(named)?;
    host_fault(host).map_err(named)
}

/// Host and port; a colon inside of brackets is the host's.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    match authority.rsplit_once(':') {
        Some((_, port)) if port.contains(']') => (authority, None),
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    }
}

fn number(port: &str) -> Result<(), String> {
    let digits = port.bytes().all(|byte| byte.is_ascii_digit());
    match port.parse::<u16>() {
        Ok(1..) if digits => Ok(()),
        Ok(_) | Err(_) => Err(format!("the port {} is no number from 1 to 65535", quoted(port))),
    }
}

fn host_fault(host: &str) -> Result<(), String> {
    if host.is_empty() {
        return Err("the host is missing".to_owned());
    }
    if let Some(inner) = host.strip_prefix('[') {
        let inner = inner.strip_suffix(']').unwrap_or_default();
        return match inner.parse::<std::net::Ipv6Addr>() {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("{} is no IPv6 address", quoted(host))),
        };
    }
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    if host.chars().all(known) { Ok(()) } else { Err(format!("{} is no host", quoted(host))) }
}

/// A regular expression; a mistake is shown where it stands in it.
pub(super) fn pattern(
    text: &str,
    node: &Node,
    path: &str,
    checker: &mut Checker<'_>,
) -> Option<Pattern> {
    match Pattern::new(text) {
        Ok(pattern) => Some(pattern),
        Err(PatternError { reason, at }) => {
            let message = format!("cannot read the regular expression: {reason}");
            let whole = checker.span(node, path);
            let span = at.and_then(|at| inside(text, at, whole, checker)).unwrap_or(whole);
            checker.problems.error(Problem::at(span, message));
            None
        }
    }
}

/// The place of a part of `text`, where its line has the text as it is: without escapes,
/// variables and line breaks.
fn inside(
    text: &str,
    part: std::ops::Range<usize>,
    whole: Span,
    checker: &Checker<'_>,
) -> Option<Span> {
    let line = checker.sources.line(whole.file, whole.line);
    let before = (whole.column as usize).saturating_sub(1);
    let rest: String = line.chars().skip(before).collect();
    let quotes = ["", "\"", "'"]
        .into_iter()
        .find(|quote| rest.strip_prefix(quote).is_some_and(|rest| rest.starts_with(text)))?;
    let chars = |range| text.get(range).map(|part: &str| part.chars().count());
    let (start, len) = (chars(0..part.start)?, chars(part)?);
    let small = |n: usize| u32::try_from(n).ok();
    let column = small(before + quotes.len() + start + 1)?;
    Some(Span { column, len: small(len.max(1))?, ..whole })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_url_and_what_is_none() {
        for text in [
            "http://localhost",
            "https://example.com:8443/a?b=c#d",
            "HTTP://127.0.0.1:80",
            "http://[::1]:80/",
            "http://[::1]/x:y",
            "http://my_host.internal/",
        ] {
            assert_eq!(url_fault(text), Ok(()), "{text}");
        }
        for (text, why) in [
            ("127.0.0.1:80/x", "\"127.0.0.1:80/x\" is no URL: it has no scheme"),
            ("htp://x", "\"htp://x\" has the unknown scheme \"htp\""),
            ("http://", "\"http://\" is no URL: the host is missing"),
            ("http://:80/", "\"http://:80/\" is no URL: the host is missing"),
            (
                "http://x:0/",
                "\"http://x:0/\" is no URL: the port \"0\" is no number from 1 to 65535",
            ),
            ("http://x:/", "\"http://x:/\" is no URL: the port \"\" is no number from 1 to 65535"),
            ("http://a b/", "\"http://a b/\" is no URL: ' ' cannot stand in one"),
            ("http://ü/", "\"http://ü/\" is no URL: 'ü' cannot stand in one"),
            ("http://me:pw@x/", "\"http://me:pw@x/\" has a user in it"),
            ("http://[::1/", "\"http://[::1/\" is no URL: \"[:\" is no IPv6 address"),
            ("http://a*b/", "\"http://a*b/\" is no URL: \"a*b\" is no host"),
        ] {
            let (message, _) = url_fault(text).unwrap_err();
            assert_eq!(message, why, "{text}");
        }
    }

    #[test]
    fn what_is_an_address_and_what_is_none() {
        for text in ["localhost:1", "127.0.0.1:65535", "[::1]:5432", "db_1.internal:80"] {
            assert_eq!(address_fault(text), Ok(()), "{text}");
        }
        for (text, hint) in [
            ("localhost", "write \"localhost:PORT\""),
            ("5432", "write \"127.0.0.1:5432\""),
            (":5432", "write \"127.0.0.1:5432\""),
            ("::1:5432", "write \"[::1]:5432\""),
            ("[::1]", "write \"[::1]:PORT\""),
            ("tcp://127.0.0.1:80/", "write \"127.0.0.1:80\""),
            ("/run/x.sock", "write \"unix: /run/x.sock\""),
            ("x:http", "write HOST:PORT"),
            ("x:70000", "write HOST:PORT"),
            ("x:+1", "write HOST:PORT"),
            ("a b:1", "write HOST:PORT"),
            ("[x]:1", "write HOST:PORT"),
            ("", "write HOST:PORT"),
        ] {
            let (_, advice) = address_fault(text).unwrap_err();
            assert_eq!(advice.as_deref(), Some(hint), "{text}");
        }
    }
}
