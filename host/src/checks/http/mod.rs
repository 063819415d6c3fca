//! HTTP probes: one request on a fresh connection, and its answer.
//!
//! ```text
//! Order ─► [Url ─► connect ─► TLS ─► HTTP/1.1 or 2 ─► Answer] ─► redirect asked for? ─┐
//!           ▲                                                                        │
//!           └──────────────────────── every hop is checked anew ─────────────────────┘
//! ```
//!
//! A probe must show that a client can come in, so nothing is kept between two of them: no
//! connection, no TLS session, no address of a name, no cookie. Deliberately absent as
//! well: proxies of the environment, decompression (bodies are handed over as they came),
//! and the upgrade of connections.

mod order;
mod url;
mod wire;

use std::time::Instant;

use hyper::StatusCode;
use hyper::http::header::LOCATION;
use kennel_wasm::grants::{Endpoint, Protocol, Scheme};
use kennel_wasm::probe::{HttpRequest, HttpResponse};

use super::allow::Allow;
use super::channel::Stream;
use super::connect;
use super::deadline::Deadline;
use super::error::ProbeError;
use super::tls::{self, Alpn};

use order::Version;
use url::Url;

pub(super) use order::Order;

/// How much of a body is kept where nothing is said.
const BODY_BYTES: usize = 1 << 20;

/// How much is kept at most, whatever is said.
const BODY_BYTES_MAX: usize = 4 << 20;

/// Makes an HTTP request. What `ext` of the request may say:
///
/// | Key | Value |
/// |---|---|
/// | `http.version` | `1.1` or `2`; else 2 where TLS offers it, and 1.1 |
/// | `http.redirects` | how many redirects are followed, up to 20; else none is |
/// | `tls.ca-file` | certificates in PEM that are trusted beside the system's; absolute |
/// | `tls.ca-pem` | the same as text |
/// | `tls.server-name` | the name that the certificate has to be for; else the host |
///
/// What `ext` of the answer tells: `http.version`; `http.truncated` where the body is not
/// whole; `http.url` and `http.redirects` where redirects were followed; `trailer:NAME` for
/// each trailer; `tls.version`, and of the server's certificate `tls.subject`,
/// `tls.issuer`, `tls.names`, `tls.not-before-unix-s`, `tls.not-after-unix-s`.
///
/// A body that is larger than `max_body` is cut, which `http.truncated` tells; without a
/// `max_body` one of more than 1 MiB is an error, since half a document is worse than none
/// to who does not expect it. With a `max_body` of 0 the body is not waited for.
///
/// # Errors
/// See [`ProbeError`]. A status such as 500 is an answer, no error.
pub async fn http(
    request: HttpRequest,
    allow: &dyn Allow,
    deadline: Deadline,
) -> Result<HttpResponse, ProbeError> {
    let deadline = deadline.shorten(request.timeout);
    run(Order::read(request)?, allow, deadline).await
}

/// The same for an order of our own.
pub(super) async fn run(
    mut order: Order,
    allow: &dyn Allow,
    deadline: Deadline,
) -> Result<HttpResponse, ProbeError> {
    let began = Instant::now();
    let mut hops = 0;
    loop {
        let mut answer = hop(&order, allow, deadline).await?;
        let status = StatusCode::from_u16(answer.status).unwrap_or_default();
        let location = answer.headers.iter().find(|(name, _)| name == LOCATION.as_str());
        match location {
            Some((_, location)) if order.redirects > 0 && is_redirect(status) => {
                if hops == order.redirects {
                    let reason =
                        format!("more than {hops} redirects, the last one to {location:?}");
                    return Err(ProbeError::Protocol { to: order.url.to_string(), reason });
                }
                hops += 1;
                order = order.redirected(status, location)?;
            }
            Some(_) | None => {
                answer.latency = began.elapsed();
                if hops > 0 {
                    answer.ext.push(("http.url".into(), order.url.to_string()));
                    answer.ext.push(("http.redirects".into(), hops.to_string()));
                }
                return Ok(answer);
            }
        }
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

/// One connection, one request, one answer.
async fn hop(
    order: &Order,
    allow: &dyn Allow,
    deadline: Deadline,
) -> Result<HttpResponse, ProbeError> {
    let Url { scheme, host, port, .. } = &order.url;
    let endpoint = Endpoint { protocol: Protocol::Http(*scheme), host: host.clone(), port: *port };
    if let Some((host, port)) = order.other_host() {
        // A server tells its sites apart by this header: it decides where a request goes
        // as much as the URL does.
        allow.before_dns(&Endpoint { protocol: endpoint.protocol, host, port })?;
    }
    let to = connect::authority(host, *port);
    let stream = Stream::Tcp(connect::tcp(&endpoint, allow, deadline).await?);
    match scheme {
        Scheme::Http => {
            let version = match order.version {
                Some(Version::Two) => Version::Two,
                Some(Version::One) | None => Version::One,
            };
            wire::exchange(stream, version, order, &to, deadline).await
        }
        Scheme::Https => {
            let alpn = match order.version {
                Some(Version::One) => Alpn::Http1,
                Some(Version::Two) => Alpn::Http2,
                None => Alpn::Either,
            };
            let stream = tls::agree(stream, &to, host, &order.tls, alpn, deadline).await?;
            let agreed = stream.get_ref().1.alpn_protocol();
            let version = match (agreed, order.version) {
                (Some(b"h2"), _) => Version::Two,
                (_, Some(Version::Two)) => {
                    let reason = "the server does not speak HTTP/2".to_owned();
                    return Err(ProbeError::Protocol { to, reason });
                }
                (_, _) => Version::One,
            };
            let mut facts = tls::facts(&stream);
            let stream = Stream::Tls(Box::new(stream));
            let mut answer = wire::exchange(stream, version, order, &to, deadline).await?;
            answer.ext.append(&mut facts);
            Ok(answer)
        }
    }
}
