//! What must not be shown: secrets, and addresses that hold one.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error};

/// A text of the configuration that nobody but the plugin sees: `{:?}` shows `…`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        String::deserialize(deserializer).map(Secret)
    }
}

/// An address of `http://` or `https://`. Path and query are often as good as a password, so
/// `{}` and `{:?}` show the origin only: `https://hooks.example.com`.
#[derive(Clone, PartialEq, Eq)]
pub struct Url {
    text: String,
    origin_length: usize,
}

/// No URL is longer.
const URL_MAX: usize = 8192;

impl Url {
    /// Reads a URL; an error does not repeat it.
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > URL_MAX {
            return Err("is too long for a URL");
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err("a URL has no spaces and no control characters");
        }
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let scheme = ["http://", "https://"].into_iter().find(|scheme| lower.starts_with(scheme));
        let Some(scheme) = scheme else {
            return Err("is no URL: it has to begin with http:// or https://");
        };
        let rest = &text[scheme.len()..];
        let authority = &rest[..rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len())];
        if authority.contains('@') {
            return Err("a URL is no place for credentials: send a header instead");
        }
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            Some(_) | None => (authority, None),
        };
        if host.is_empty() {
            return Err("has no host");
        }
        if port.is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err("has a port that is none");
        }
        Ok(Url { text: text.to_owned(), origin_length: scheme.len() + authority.len() })
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.text[..self.origin_length]
    }

    /// What follows the origin: path and query.
    pub fn target(&self) -> &str {
        &self.text[self.origin_length..]
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin())
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.origin())
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        let text = String::deserialize(deserializer)?;
        Url::parse(&text).map_err(D::Error::custom)
    }
}

/// A text from elsewhere for one line that people read: what is secret is replaced by `…`, line
/// ends and other control characters by spaces, and what is longer than `max` characters is cut.
pub fn excerpt<'a>(text: &str, max: usize, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut shown = text.to_owned();
    for secret in secrets {
        // Shorter ones are words that mean nothing, such as the path `/`.
        if secret.len() >= 4 {
            shown = shown.replace(secret, "…");
        }
    }
    let words = shown.split(|c: char| c.is_whitespace() || c.is_control());
    let line = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, origin, target) in [
            ("https://hooks.example.com/a/b?c#d", "https://hooks.example.com", "/a/b?c#d"),
            ("HTTP://127.0.0.1:9000", "HTTP://127.0.0.1:9000", ""),
            ("http://[::1]:80?x", "http://[::1]:80", "?x"),
            ("http://[::1]/", "http://[::1]", "/"),
        ] {
            let url = Url::parse(text).unwrap();
            assert_eq!((url.origin(), url.target(), url.as_str()), (origin, target, text));
            assert_eq!(format!("{url} {url:?}"), format!("{origin} {origin}"));
        }
    }

    #[test]
    fn what_is_no_url_is_not_repeated() {
        for text in [
            "",
            "hunter2",
            "ftp://hunter2",
            "http://",
            "https:///hunter2",
            "http://:80/hunter2",
            "http://host:hunter2/",
            "http://host:99999/hunter2",
            "http://user:hunter2@host/",
            "http://host/ hunter2",
            "http://host/\nhunter2",
            "日本語日本語",
        ] {
            let error = Url::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Url::parse(&format!("http://{}", "x".repeat(URL_MAX))).is_err());
        assert_eq!(format!("{:?}", Secret("hunter2".to_owned())), "…");
    }

    #[test]
    fn an_excerpt_is_one_short_line_without_secrets() {
        let text = "no such token:\r\n\thunter2!\u{0}\u{1b}[31m bye";
        assert_eq!(excerpt(text, 100, ["hunter2", ""]), "no such token: …! [31m bye");
        assert_eq!(excerpt("日本語日本語", 3, []), "日本語…");
        assert_eq!(excerpt("abc", 3, []), "abc");
        assert_eq!(excerpt("", 3, ["secret"]), "");
    }
}
