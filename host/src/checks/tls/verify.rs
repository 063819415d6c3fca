//! Whether a certificate is good: as the web does it, with two differences.
//!
//! What is wrong is told in words, with the facts of the certificate. And a certificate
//! that itself stands in the CA file is trusted while it is valid and names the host, also
//! when it is marked as one of an authority, as `openssl req -x509` makes them: that is
//! what `curl --cacert` does with it, and what people expect.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use x509_parser::parse_x509_certificate;

use super::words;

#[derive(Debug)]
pub(super) struct Verifier {
    pub(super) by_authority: Arc<WebPkiServerVerifier>,
    /// Certificates of the CA file.
    pub(super) own: Vec<CertificateDer<'static>>,
}

impl Verifier {
    /// Of a certificate that stands in the CA file: whether it holds now and for this name.
    fn own(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Option<Result<(), Error>> {
        if !self.own.iter().any(|own| own == certificate) {
            return None;
        }
        let (_, parsed) = parse_x509_certificate(certificate).ok()?;
        let (validity, now) = (parsed.validity(), i64::try_from(now.as_secs()).ok()?);
        Some(if now > validity.not_after.timestamp() {
            Err(CertificateError::Expired.into())
        } else if now < validity.not_before.timestamp() {
            Err(CertificateError::NotValidYet.into())
        } else {
            let parsed = ParsedCertificate::try_from(certificate);
            parsed.and_then(|parsed| verify_server_name(&parsed, name))
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let by_authority = &self.by_authority;
        let error =
            match by_authority.verify_server_cert(certificate, intermediates, name, ocsp, now) {
                Ok(good) => return Ok(good),
                Err(error) => match self.own(certificate, name, now) {
                    Some(Ok(())) => return Ok(ServerCertVerified::assertion()),
                    Some(Err(error)) => error,
                    None => error,
                },
            };
        let words = words::Words(words::certificate(&error, certificate, name));
        Err(CertificateError::Other(OtherError(Arc::new(words))).into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.by_authority.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.by_authority.supported_verify_schemes()
    }
}
