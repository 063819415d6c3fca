//! What a secure connection says of itself.

use kennel_wasm::model::Attributes;
use rustls::ProtocolVersion;
use tokio_rustls::client::TlsStream;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::parse_x509_certificate;

/// How many names of a certificate are told.
const NAMES_MAX: usize = 100;

/// Version, and of the server's certificate its subject, issuer, names and validity.
pub(in super::super) fn facts<S>(stream: &TlsStream<S>) -> Attributes {
    let (_, session) = stream.get_ref();
    let mut facts = Vec::new();
    let mut tell = |key: &str, value: String| facts.push((format!("tls.{key}"), value));
    match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => tell("version", "1.2".into()),
        Some(ProtocolVersion::TLSv1_3) => tell("version", "1.3".into()),
        Some(_) | None => {}
    }
    let certificate = session.peer_certificates().and_then(<[_]>::first);
    if let Some((_, parsed)) = certificate.and_then(|der| parse_x509_certificate(der).ok()) {
        let validity = parsed.validity();
        tell("not-before-unix-s", validity.not_before.timestamp().to_string());
        tell("not-after-unix-s", validity.not_after.timestamp().to_string());
        tell("subject", parsed.subject().to_string());
        tell("issuer", parsed.issuer().to_string());
        tell("names", names(&parsed).join(","));
    }
    facts
}

/// The hosts that a certificate is for.
pub(super) fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return vec![] };
    let name = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => address(bytes),
        // Mail addresses, URIs and what else is no host; the enum is the parser's.
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).take(NAMES_MAX).collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(v4).to_string());
    }
    let v6 = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(v6).to_string())
}
