//! The URLs of requests and redirects (RFC 3986, as far as HTTP has it).

use std::fmt;

use hyper::Uri;
use kennel_wasm::grants::Scheme;

use crate::checks::connect::authority;

/// Where a request goes and for what.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::checks) struct Url {
    pub(super) scheme: Scheme,
    /// A name in lower case, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query; begins with a slash.
    pub(super) target: String,
}

impl Url {
    /// Reads an absolute URL.
    pub(in crate::checks) fn read(text: &str) -> Result<Url, String> {
        let bad = |why: &str| Err(format!("{text:?} is no URL for a request: {why}"));
        // What follows a number sign is for the reader of the answer.
        let plain = text.split('#').next().unwrap_or_default();
        let Ok(uri) = plain.parse::<Uri>() else {
            return bad("a character in it is not allowed, or its port is no number");
        };
        let scheme = match uri.scheme_str() {
            Some("http") => Scheme::Http,
            Some("https") => Scheme::Https,
            Some(_) => return bad("its scheme is neither http nor https"),
            None => return bad("it has no scheme, http:// or https://"),
        };
        let Some(authority) = uri.authority() else { return bad("it has no host") };
        if authority.as_str().contains('@') {
            return bad("user and password belong into the header \"authorization\"");
        }
        let host = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        if host.is_empty() {
            return bad("it has no host");
        }
        let port = match (authority.port(), authority.port_u16()) {
            (None, _) => scheme.default_port(),
            (Some(_), Some(port)) if port > 0 => port,
            (Some(_), _) => return bad("a port is a number from 1 to 65535"),
        };
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let target = if target.starts_with('/') { target.into() } else { format!("/{target}") };
        Ok(Url { scheme, host, port, target })
    }

    /// Where a reference in an answer of this one leads (RFC 3986, 5.2).
    pub(super) fn join(&self, reference: &str) -> Result<Url, String> {
        let reference = reference.split('#').next().unwrap_or_default();
        if has_scheme(reference) {
            return Url::read(reference);
        }
        if reference.starts_with("//") {
            return Url::read(&format!("{}:{reference}", self.scheme));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let (asked, query) = match reference.split_once('?') {
            Some((asked, query)) => (asked, Some(query)),
            None => (reference, None),
        };
        let target = if asked.is_empty() {
            if query.is_none() { self.target.clone() } else { path.to_owned() }
        } else if asked.starts_with('/') {
            without_dots(asked)
        } else {
            let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
            without_dots(&format!("{folder}/{asked}"))
        };
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        Url::read(&format!("{}{target}{query}", self.origin()))
    }

    /// Scheme, host and port.
    pub(super) fn origin(&self) -> String {
        format!("{}://{}", self.scheme, self.authority())
    }

    /// Host, and the port unless it is the scheme's own.
    pub(super) fn authority(&self) -> String {
        let full = authority(&self.host, self.port);
        match full.strip_suffix(&format!(":{}", self.scheme.default_port())) {
            Some(host) => host.to_owned(),
            None => full,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.origin(), self.target)
    }
}

fn has_scheme(reference: &str) -> bool {
    let end = reference.find([':', '/', '?']).unwrap_or(reference.len());
    reference[end..].starts_with(':')
        && reference.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// A path without `.` and `..` (RFC 3986, 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    for (index, part) in parts.iter().enumerate() {
        let last = index + 1 == parts.len();
        match *part {
            "." | ".." => {
                if *part == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            part => kept.push(part),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_read_as_far_as_a_request_needs_it() {
        for (text, shown) in [
            ("http://127.0.0.1:8080/health", "http://127.0.0.1:8080/health"),
            ("HTTP://Web.Example", "http://web.example/"),
            ("https://a:443/x?y=%20#z", "https://a/x?y=%20"),
            ("http://[::1]:81?q", "http://[::1]:81/?q"),
        ] {
            assert_eq!(Url::read(text).map(|url| url.to_string()), Ok(shown.into()), "{text}");
        }
        for (text, why) in [
            ("127.0.0.1:80/x", "a character in it is not allowed, or its port is no number"),
            ("/x", "it has no scheme, http:// or https://"),
            ("ftp://a/", "its scheme is neither http nor https"),
            ("http://u:p@a/", "user and password belong into the header \"authorization\""),
            ("http://a:0/", "a port is a number from 1 to 65535"),
            ("http://a b/", "a character in it is not allowed, or its port is no number"),
            ("http://a/\r\nx: y", "a character in it is not allowed, or its port is no number"),
        ] {
            let error = Url::read(text).expect_err(text);
            assert_eq!(error, format!("{text:?} is no URL for a request: {why}"));
        }
    }

    #[test]
    fn a_redirect_leads_where_a_browser_goes() {
        let base = Url::read("http://a:81/b/c/d?q").expect("a URL");
        for (reference, target) in [
            ("g", "http://a:81/b/c/g"),
            ("./g/.", "http://a:81/b/c/g/"),
            ("../g", "http://a:81/b/g"),
            ("../../../../g", "http://a:81/g"),
            ("/g?x#y", "http://a:81/g?x"),
            ("?x", "http://a:81/b/c/d?x"),
            ("", "http://a:81/b/c/d?q"),
            ("//h/i", "http://h/i"),
            ("https://h", "https://h/"),
            ("g:h", ""),
        ] {
            let joined = base.join(reference).map(|url| url.to_string()).unwrap_or_default();
            assert_eq!(joined, target, "{reference:?}");
        }
    }
}
