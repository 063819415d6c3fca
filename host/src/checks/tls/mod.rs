//! TLS of the probes: whom is trusted, what is agreed on, what the certificate says.
//!
//! ```text
//! Options ─► trust: the system's authorities, and a file's ─► verify ─► agree ─► facts
//! ```
//!
//! Every connection is agreed on anew: sessions are not resumed, so that the certificate
//! is seen and checked each time. Deliberately absent: a way to turn the check off. Who
//! has a certificate of their own making names it as `ca_file`.

mod facts;
mod trust;
mod verify;
mod words;

use std::path::PathBuf;
use std::sync::Arc;

use kennel_wasm::model::Attributes;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::deadline::Deadline;
use super::error::{ProbeError, Stage};

pub(super) use facts::facts;
pub(super) use words::reason_within;

/// What a request may say of TLS.
#[derive(Clone, Debug, Default)]
pub(super) struct Options {
    pub(super) authorities: Authorities,
    /// The name that is asked for and that the certificate must have; none: the host.
    pub(super) server_name: Option<String>,
}

/// Who is trusted beside the authorities of the system.
#[derive(Clone, Debug, Default)]
pub(super) enum Authorities {
    /// Nobody.
    #[default]
    System,
    /// The certificates in this file.
    File {
        /// Where it is; absolute.
        path: PathBuf,
        /// Who is told what is wrong with it.
        teller: Teller,
    },
    /// These certificates in PEM.
    Pem(String),
}

/// Who named a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Teller {
    /// The operator, who is told everything.
    Operator,
    /// A plugin, which is not told apart what is not there and what may not be read: it
    /// has no business knowing the file system.
    Plugin,
}

impl Options {
    /// Reads `tls.ca-file`, `tls.ca-pem` and `tls.server-name`.
    pub(super) fn of(ext: &Attributes) -> Result<Options, ProbeError> {
        let mut options = Options::default();
        for (key, value) in ext {
            match key.as_str() {
                "tls.ca-file" => {
                    let path = PathBuf::from(value);
                    if !path.is_absolute() {
                        let error = format!("cannot use the CA file {value:?}: not absolute");
                        return Err(ProbeError::Invalid(error));
                    }
                    options.authorities = Authorities::File { path, teller: Teller::Plugin };
                }
                "tls.ca-pem" => options.authorities = Authorities::Pem(value.clone()),
                "tls.server-name" => options.server_name = Some(value.clone()),
                // The set is open: what a newer plugin asks for is not known here.
                _ => {}
            }
        }
        Ok(options)
    }
}

/// What is to be spoken within TLS (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alpn {
    /// Something that has no name here.
    None,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/2 if the server can, else HTTP/1.1.
    Either,
}

impl Alpn {
    const ALL: [Alpn; 4] = [Alpn::None, Alpn::Http1, Alpn::Http2, Alpn::Either];

    fn protocols(self) -> Vec<Vec<u8>> {
        let (one, two) = (b"http/1.1".to_vec(), b"h2".to_vec());
        match self {
            Alpn::None => vec![],
            Alpn::Http1 => vec![one],
            Alpn::Http2 => vec![two],
            Alpn::Either => vec![two, one],
        }
    }
}

/// Agrees on TLS with the server at the other end of `stream`, whose certificate has to be
/// one of `host` unless the options name another.
pub(super) async fn agree<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    to: &str,
    host: &str,
    options: &Options,
    alpn: Alpn,
    deadline: Deadline,
) -> Result<TlsStream<S>, ProbeError> {
    let failed = |reason: String| ProbeError::Tls { to: to.to_owned(), reason };
    let name = options.server_name.as_deref().unwrap_or(host);
    // A zone is for the system; a certificate knows none.
    let plain = name.split('%').next().unwrap_or_default().trim_end_matches('.');
    let server = ServerName::try_from(plain.to_owned()).map_err(|_| {
        ProbeError::Invalid(format!("{name:?} cannot be the name of a certificate"))
    })?;
    let agreed = async {
        let configs = trust::of(&options.authorities).await.map_err(ProbeError::Invalid)?;
        let config = Arc::clone(&configs[alpn as usize]);
        let connecting = TlsConnector::from(config).connect(server, stream);
        connecting.await.map_err(|error| failed(words::handshake(&error)))
    };
    deadline.limit(Stage::Tls, to, agreed).await
}
