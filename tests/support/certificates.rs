//! Certificates of servers on 127.0.0.1, made while a test runs.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::is_root;
use super::skip::find;

/// A certificate that vouches for itself, and its key.
pub(crate) struct Certificate {
    pub(crate) file: PathBuf,
    pub(crate) key: PathBuf,
}

/// As an administrator makes one; valid for 30 days.
pub(crate) fn self_signed(directory: &Path) -> Certificate {
    let certificate = Certificate::at(directory, "valid");
    let mut openssl = Command::new(find("openssl").expect("the test has looked for it"));
    openssl.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes".split(' '));
    openssl.args(["-days", "30", "-subj", "/CN=kennel test"]);
    openssl.args(["-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost"]);
    openssl.arg("-keyout").arg(&certificate.key).arg("-out").arg(&certificate.file);
    let made = openssl.output().expect("openssl can be executed");
    assert!(made.status.success(), "openssl: {}", String::from_utf8_lossy(&made.stderr));
    certificate
}

/// One whose time was over three days ago, which openssl does not make.
pub(crate) fn expired(directory: &Path) -> Certificate {
    let certificate = Certificate::at(directory, "expired");
    let mut params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let days_ago = |days: u64| SystemTime::now() - Duration::from_secs(days * 86_400);
    (params.not_before, params.not_after) = (days_ago(30).into(), days_ago(3).into());
    let key = KeyPair::generate().expect("random numbers");
    let made = params.self_signed(&key).expect("complete");
    fs::write(&certificate.file, made.pem()).expect("the directory is ours");
    fs::write(&certificate.key, key.serialize_pem()).expect("the directory is ours");
    certificate
}

/// The certificate of an authority of this name, and one of 127.0.0.1 that it has signed.
pub(crate) fn signed(directory: &Path, authority: &str) -> (PathBuf, Certificate) {
    let file = directory.join(format!("{authority}.pem"));
    let mut params = CertificateParams::new(Vec::new()).expect("no names");
    params.distinguished_name.push(rcgen::DnType::CommonName, authority);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("random numbers");
    fs::write(&file, params.self_signed(&key).expect("complete").pem()).expect("ours");
    let issuer = Issuer::new(params, key);
    let certificate = Certificate::at(directory, &format!("by-{authority}"));
    let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
    let key = KeyPair::generate().expect("random numbers");
    let made = params.signed_by(&key, &issuer).expect("complete");
    fs::write(&certificate.file, made.pem()).expect("the directory is ours");
    fs::write(&certificate.key, key.serialize_pem()).expect("the directory is ours");
    (file, certificate)
}

impl Certificate {
    fn at(directory: &Path, name: &str) -> Certificate {
        let at = |end: &str| directory.join(format!("{name}.{end}"));
        Certificate { file: at("pem"), key: at("key") }
    }

    /// Gives the key to the user that PostgreSQL runs as, who wants it for itself.
    pub(crate) fn for_postgres(self) -> Certificate {
        let mode = fs::Permissions::from_mode(0o600);
        fs::set_permissions(&self.key, mode).expect("the key is ours");
        if is_root() {
            let user = nix::unistd::User::from_name("postgres").expect("a user database");
            let user = user.expect("the package has made its user");
            nix::unistd::chown(&self.key, Some(user.uid), Some(user.gid)).expect("root may");
        }
        self
    }
}
