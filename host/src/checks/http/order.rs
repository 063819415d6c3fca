//! What is asked for, checked: nothing in it can change the shape of the request.

use std::path::Path;

use hyper::body::Bytes;
use hyper::http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST,
    HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use hyper::{HeaderMap, Method, StatusCode};
use kennel_wasm::probe::HttpRequest;

use super::url::Url;
use super::{BODY_BYTES, BODY_BYTES_MAX};
use crate::checks::error::ProbeError;
use crate::checks::tls::{Authorities, Options, Teller};

/// How many redirects may be followed.
const REDIRECTS_MAX: u32 = 20;

/// How a probe calls itself.
const AGENT: &str = concat!("kennel/", env!("CARGO_PKG_VERSION"));

/// A request that can be made.
#[derive(Debug)]
pub(in crate::checks) struct Order {
    pub(super) method: Method,
    pub(super) url: Url,
    /// Without those of a connection.
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) keep: Keep,
    pub(super) version: Option<Version>,
    pub(super) redirects: u32,
    pub(super) tls: Options,
}

/// How much of the body of an answer is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Keep {
    /// All of it; a larger one is an error.
    Whole,
    /// The first so many bytes.
    First(usize),
}

/// A version of HTTP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Version {
    One,
    Two,
}

impl Keep {
    pub(super) fn bytes(self) -> usize {
        match self {
            Keep::Whole => BODY_BYTES,
            Keep::First(bytes) => bytes,
        }
    }
}

impl Order {
    /// A GET of a built-in check.
    pub(in crate::checks) fn get(
        url: &str,
        ca_file: Option<&Path>,
        keep_bytes: usize,
    ) -> Result<Order, ProbeError> {
        let authorities = match ca_file {
            Some(path) => Authorities::File { path: path.to_owned(), teller: Teller::Operator },
            None => Authorities::System,
        };
        let mut headers = HeaderMap::new();
        add_own(&mut headers);
        Ok(Order {
            method: Method::GET,
            url: Url::read(url).map_err(ProbeError::Invalid)?,
            headers,
            body: Bytes::new(),
            keep: Keep::First(keep_bytes),
            version: None,
            redirects: 0,
            tls: Options { authorities, server_name: None },
        })
    }

    /// Checks what a plugin asks for.
    pub(super) fn read(request: HttpRequest) -> Result<Order, ProbeError> {
        let HttpRequest { method, url, headers, body, timeout: _, max_body, ext } = request;
        let invalid = |text: String| Err(ProbeError::Invalid(text));
        let method = match Method::from_bytes(method.as_bytes()) {
            Ok(Method::CONNECT) | Err(_) => return invalid(format!("{method:?} is no method")),
            Ok(method) => method,
        };
        let url = Url::read(&url).map_err(ProbeError::Invalid)?;
        let tls = Options::of(&ext)?;
        let (mut version, mut redirects) = (None, 0);
        for (key, value) in &ext {
            match (key.as_str(), value.as_str()) {
                ("http.version", "1.1") => version = Some(Version::One),
                ("http.version", "2") => version = Some(Version::Two),
                ("http.version", other) => {
                    return invalid(format!("HTTP version {other:?} is neither \"1.1\" nor \"2\""));
                }
                ("http.redirects", number) => match number.parse() {
                    Ok(number) if number <= REDIRECTS_MAX => redirects = number,
                    Ok(_) | Err(_) => {
                        let most = format!("a number up to {REDIRECTS_MAX}");
                        return invalid(format!("http.redirects {number:?} is not {most}"));
                    }
                },
                // The set is open.
                (_, _) => {}
            }
        }
        let keep = match max_body {
            None => Keep::Whole,
            Some(bytes) => Keep::First(BODY_BYTES_MAX.min(bytes.try_into().unwrap_or(usize::MAX))),
        };
        let headers = headers_of(headers, body.len())?;
        Ok(Order { method, url, headers, body: body.into(), keep, version, redirects, tls })
    }

    /// The host that a header asks for in place of the one of the URL.
    pub(super) fn other_host(&self) -> Option<(String, u16)> {
        let asked = self.headers.get(HOST)?.to_str().ok()?;
        if asked.eq_ignore_ascii_case(&self.url.authority()) {
            return None;
        }
        let (host, port) = match asked.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()),
            Some(_) | None => (asked, None),
        };
        let port = port.unwrap_or(self.url.scheme.default_port());
        let host = host.trim_matches(['[', ']']).to_owned();
        Some((host, port))
    }

    /// The request that a redirect asks for (RFC 9110, 15.4).
    pub(super) fn redirected(
        self,
        status: StatusCode,
        location: &str,
    ) -> Result<Order, ProbeError> {
        let Order { mut method, url, mut headers, mut body, keep, version, redirects, tls } = self;
        let next = url.join(location).map_err(|reason| ProbeError::Protocol {
            to: url.to_string(),
            reason: format!("its redirect leads nowhere: {reason}"),
        })?;
        let asks_anew = match status.as_u16() {
            303 => method != Method::HEAD,
            301 | 302 => method == Method::POST,
            _ => false,
        };
        if asks_anew {
            method = Method::GET;
            body = Bytes::new();
            headers.remove(CONTENT_TYPE);
        }
        if next.origin() != url.origin() {
            // What is meant for one server is none of another's business.
            for secret in [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, HOST] {
                headers.remove(secret);
            }
        }
        Ok(Order { method, url: next, headers, body, keep, version, redirects, tls })
    }
}

/// Checks headers. Those that belong to the connection are ours to send.
fn headers_of(asked: Vec<(String, String)>, body_bytes: usize) -> Result<HeaderMap, ProbeError> {
    let mut headers = HeaderMap::new();
    for (name, value) in asked {
        let bad = |why: &str| Err(ProbeError::Invalid(format!("header {name:?}: {why}")));
        let Ok(key) = HeaderName::from_bytes(name.as_bytes()) else {
            return bad("the name is not allowed");
        };
        let Ok(content) = HeaderValue::from_str(&value) else {
            return bad("the value is not allowed");
        };
        if key == CONNECTION || key.as_str() == "keep-alive" || key.as_str() == "proxy-connection" {
            continue;
        } else if key == CONTENT_LENGTH {
            if value.parse() != Ok(body_bytes) {
                return bad("it is not the length of the body");
            }
        } else if key == TE && value != "trailers" {
            return bad("only \"trailers\" can be had");
        } else if key == TRANSFER_ENCODING || key == UPGRADE || key == EXPECT {
            return bad("it cannot be sent");
        } else if key == HOST {
            if headers.insert(HOST, content).is_some() {
                return bad("it comes twice");
            }
        } else if headers.try_append(key, content).is_err() {
            return bad("there are too many");
        }
    }
    add_own(&mut headers);
    Ok(headers)
}

fn add_own(headers: &mut HeaderMap) {
    headers.entry(USER_AGENT).or_insert(HeaderValue::from_static(AGENT));
    headers.entry(ACCEPT).or_insert(HeaderValue::from_static("*/*"));
}
