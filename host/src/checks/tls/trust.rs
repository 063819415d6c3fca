//! Whom to trust: read from disk once, and a file again when it has changed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use tokio::sync::{OnceCell, Semaphore};

use super::verify::Verifier;
use super::{Alpn, Authorities, Teller};
use crate::os::Cause;

/// A file of authorities is no larger; the one of a whole system has a fifth of a MiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// How many files are remembered.
const FILES_MAX: usize = 64;

/// How many files are looked at at once: a file system that hangs holds no more threads.
static PLACES: Semaphore = Semaphore::const_new(4);

static SYSTEM: OnceCell<System> = OnceCell::const_new();

static FILES: LazyLock<Mutex<HashMap<PathBuf, Known>>> = LazyLock::new(Mutex::default);

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// A configuration for each [`Alpn`], in the order of its variants.
pub(super) type Trust = Arc<[Arc<ClientConfig>]>;

struct System {
    roots: RootCertStore,
    /// What is wrong when nobody is trusted.
    trust: Result<Trust, String>,
}

/// A file as it was when it was read.
struct Known {
    stamp: Stamp,
    trust: Trust,
}

/// Tells whether a file has changed.
#[derive(PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

fn files() -> MutexGuard<'static, HashMap<PathBuf, Known>> {
    FILES.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whom to trust, or why that cannot be told.
pub(super) async fn of(authorities: &Authorities) -> Result<Trust, String> {
    let system = SYSTEM.get_or_try_init(|| blocking(load_system)).await?;
    match authorities {
        Authorities::System => system.trust.clone(),
        Authorities::Pem(text) => {
            let certificates = certificates(text.as_bytes())
                .map_err(|reason| format!("cannot use the certificates given: {reason}"))?;
            beside(&system.roots, certificates)
        }
        Authorities::File { path, teller } => {
            let asked = path.clone();
            let read = blocking(move || file(&asked, &system.roots)).await?;
            read.map_err(|reason| {
                let reason = match teller {
                    Teller::Operator => reason,
                    Teller::Plugin => "it has to be a readable file of certificates in PEM".into(),
                };
                format!("cannot use the CA file \"{}\": {reason}", path.display())
            })
        }
    }
}

/// Does what may wait for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    // The semaphore is never closed. The place goes with the work.
    let place = PLACES.acquire().await.ok();
    let done = tokio::task::spawn_blocking(move || (work(), place)).await;
    done.map(|(done, _)| done).map_err(|_| "reading certificates was interrupted".to_owned())
}

fn load_system() -> System {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates that nobody can read; the others count.
    roots.add_parsable_certificates(found.certs);
    let trust = if roots.is_empty() {
        let none = "this system trusts no certificate authority; its package is ca-certificates";
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        Err(format!("{none}{why}"))
    } else {
        configs(roots.clone(), vec![])
    };
    System { roots, trust }
}

fn file(path: &Path, system: &RootCertStore) -> Result<Trust, String> {
    let of_io = |error: std::io::Error| Cause::from_io(&error).to_string();
    // Looked at first: opening a device or a pipe acts on it, or waits.
    let metadata = fs::metadata(path).map_err(of_io)?;
    if !metadata.is_file() {
        return Err("it is no file".into());
    }
    let stamp = Stamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        bytes: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    };
    if let Some(known) = files().get(path).filter(|known| known.stamp == stamp) {
        return Ok(Arc::clone(&known.trust));
    }
    let mut text = Vec::new();
    let opened = File::open(path).map_err(of_io)?;
    opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(of_io)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20));
    }
    let trust = beside(system, certificates(&text)?)?;
    let mut files = files();
    if files.len() >= FILES_MAX {
        files.clear();
    }
    files.insert(path.to_owned(), Known { stamp, trust: Arc::clone(&trust) });
    Ok(trust)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let number = found.len() + 1;
        let readable = certificate.map_err(|_| format!("certificate {number} is broken"))?;
        found.push(readable);
    }
    if found.is_empty() { Err("it holds no certificate in PEM".into()) } else { Ok(found) }
}

/// The authorities of the system and these.
fn beside(system: &RootCertStore, own: Vec<CertificateDer<'static>>) -> Result<Trust, String> {
    let mut roots = system.clone();
    for (index, certificate) in own.iter().enumerate() {
        roots
            .add(certificate.clone())
            .map_err(|_| format!("certificate {} cannot be read", index + 1))?;
    }
    configs(roots, own)
}

fn configs(roots: RootCertStore, own: Vec<CertificateDer<'static>>) -> Result<Trust, String> {
    let provider = Arc::clone(&PROVIDER);
    let by_authority = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
    let by_authority = by_authority.build().map_err(|error| error.to_string())?;
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { by_authority, own }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    let of_alpn = |alpn: Alpn| {
        let mut config = config.clone();
        config.alpn_protocols = alpn.protocols();
        Arc::new(config)
    };
    Ok(Alpn::ALL.map(of_alpn).into())
}
