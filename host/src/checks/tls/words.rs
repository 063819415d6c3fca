//! What is wrong with TLS, in words.

use std::io;

use jiff::Timestamp;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CertificateError, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

/// A reason that is ready to be shown, carried through the TLS library.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Words(pub(super) String);

/// Why there was no agreement.
pub(super) fn handshake(error: &io::Error) -> String {
    if let Some(reason) = reason_within(error) {
        return reason;
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => {
            "the server closed the connection instead".into()
        }
        _ => error.to_string(),
    }
}

/// The reason in an error of a stream, if it is one of TLS.
pub(in super::super) fn reason_within(error: &io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    Some(match error {
        Error::InvalidCertificate(CertificateError::Other(other)) => other.to_string(),
        Error::InvalidMessage(_) => "the server does not speak TLS".into(),
        Error::AlertReceived(alert) => {
            format!("the server refuses: {}", spaced(&format!("{alert:?}")))
        }
        Error::PeerIncompatible(_) => {
            "the server speaks no version or cipher that is safe (TLS 1.2 or later is needed)"
                .into()
        }
        Error::NoCertificatesPresented => "the server shows no certificate".into(),
        // The library's own words for what is left; the enum is open.
        other => other.to_string(),
    })
}

/// `HandshakeFailure` as `handshake failure`.
fn spaced(name: &str) -> String {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

/// What is wrong with a certificate.
pub(super) fn certificate(
    error: &Error,
    shown: &CertificateDer<'_>,
    name: &ServerName<'_>,
) -> String {
    let parsed = parse_x509_certificate(shown).ok().map(|(_, parsed)| parsed);
    let validity = parsed.as_ref().map(|parsed| parsed.validity());
    let Error::InvalidCertificate(error) = error else { return error.to_string() };
    match error {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            let end = validity.map(|validity| date(validity.not_after.timestamp()));
            match end {
                Some(end) => format!("the certificate expired on {end}"),
                None => "the certificate has expired".into(),
            }
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            let begin = validity.map(|validity| date(validity.not_before.timestamp()));
            match begin {
                Some(begin) => format!("the certificate is not valid before {begin}"),
                None => "the certificate is not valid yet".into(),
            }
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            let names = parsed.as_ref().map(super::facts::names).unwrap_or_default();
            let asked = name.to_str();
            match names.is_empty() {
                true => format!(
                    "the certificate is not for {asked}: it has no subject alternative name"
                ),
                false => format!("the certificate is not for {asked} but for {}", names.join(", ")),
            }
        }
        CertificateError::UnknownIssuer => unknown(parsed.as_ref()),
        CertificateError::Revoked => "the certificate was revoked".into(),
        CertificateError::BadSignature => "the certificate's signature is wrong".into(),
        CertificateError::BadEncoding => "the certificate cannot be read".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the certificate is not one for servers".into()
        }
        // What signs itself is marked so more often than not.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            match &parsed {
                Some(parsed) if parsed.issuer() == parsed.subject() => unknown(Some(parsed)),
                Some(_) | None => "the certificate is one of an authority, not of a server".into(),
            }
        }
        // The library's own words for what is left; the enum is open.
        other => format!("the certificate is refused: {other}"),
    }
}

fn unknown(certificate: Option<&X509Certificate<'_>>) -> String {
    match certificate {
        Some(own) if own.issuer() == own.subject() => {
            format!("nobody vouches for the certificate: \"{}\" signed itself", own.issuer())
        }
        Some(other) => {
            format!("the certificate is of \"{}\", which is not trusted", other.issuer())
        }
        None => "the certificate is of somebody who is not trusted".into(),
    }
}

fn date(unix_seconds: i64) -> String {
    let time = Timestamp::from_second(unix_seconds);
    time.map_or_else(|_| "a date out of range".into(), |time| time.strftime("%Y-%m-%d").to_string())
}
