//! PEM files of certificates and keys: one reader for listeners and exporters, with one sentence for what is wrong.

use crate::config::settings::{Identity, NamedFile, Place, TlsVersion};
use rustls::SupportedProtocolVersion;
use rustls::pki_types::pem::{Error, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use std::io::Read;
use std::path::PathBuf;

/// Largest file that is read: a system's bundle of authorities has some 250 KiB.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{key}`: cannot use {path}: {problem}", key = .place.key, path = .path.display())]
pub struct PemError {
    /// Where the file is named.
    pub place: Place,
    path: PathBuf,
    problem: String,
}

impl PemError {
    /// A problem with a file.
    pub fn new(file: &NamedFile, problem: impl Into<String>) -> PemError {
        PemError { place: file.place.clone(), path: file.path.clone(), problem: problem.into() }
    }
}

/// Every certificate of a file, at least one.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn certificates(file: &NamedFile) -> Result<Vec<CertificateDer<'static>>, PemError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(file)?).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(PemError::new(
            file,
            "it holds no certificate in PEM (`-----BEGIN CERTIFICATE-----`); name the file of the certificate",
        )),
        Err(error) => Err(PemError::new(file, format!("it is damaged: {error}; copy it again"))),
    }
}

/// The private key of a file.
///
/// # Errors
/// When the file cannot be read or holds none.
pub fn key(file: &NamedFile) -> Result<PrivateKeyDer<'static>, PemError> {
    PrivateKeyDer::from_pem_slice(&read(file)?).map_err(|error| match error {
        Error::NoItemsFound => PemError::new(
            file,
            "it holds no private key in PEM (`-----BEGIN PRIVATE KEY-----`), or only an encrypted one; name the file of the key",
        ),
        error => PemError::new(file, format!("it is damaged: {error}; copy it again")),
    })
}

/// The versions of TLS from `least` on.
pub fn versions(least: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    static FROM_12: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    static FROM_13: [&SupportedProtocolVersion; 1] = [&TLS13];
    match least {
        TlsVersion::Tls12 => &FROM_12,
        TlsVersion::Tls13 => &FROM_13,
    }
}

/// Certificate chain and key.
///
/// # Errors
/// Those of [`certificates`] and [`key`].
pub fn identity(identity: &Identity) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PemError> {
    Ok((certificates(&identity.cert_file)?, key(&identity.key_file)?))
}

fn read(file: &NamedFile) -> Result<Vec<u8>, PemError> {
    let mut bytes = Vec::new();
    std::fs::File::open(&file.path)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| PemError::new(file, format!("{error}; check the path and who may read it")))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(PemError::new(file, "it is larger than 4 MiB; name the file of the certificate or key"));
    }
    Ok(bytes)
}
