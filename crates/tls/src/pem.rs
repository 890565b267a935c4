//! Reading PEM files, with errors that name the file.

use std::path::Path;

use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::error::{Error, Result};

/// All certificates in a PEM text, in order; an error if there is none. `origin` names the text in
/// errors.
pub fn certificates_from_pem(text: &[u8], origin: &str) -> Result<Vec<CertificateDer<'static>>> {
    let pem_error = |source| Error::Pem {
        origin: origin.to_owned(),
        kind: "certificate",
        source,
    };
    let certificates = CertificateDer::pem_slice_iter(text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| pem_error(Some(error)))?;
    if certificates.is_empty() {
        return Err(pem_error(None));
    }
    Ok(certificates)
}

/// The first private key (PKCS#8, PKCS#1 or SEC1) in a PEM text.
pub fn key_from_pem(text: &[u8], origin: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(text).map_err(|error| Error::Pem {
        origin: origin.to_owned(),
        kind: "private key",
        source: (!matches!(error, pem::Error::NoItemsFound)).then_some(error),
    })
}

/// [`certificates_from_pem`] of a file.
pub fn certificates_from_file(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    certificates_from_pem(&read(path)?, &path.display().to_string())
}

/// [`key_from_pem`] of a file.
pub fn key_from_file(path: &Path) -> Result<PrivateKeyDer<'static>> {
    key_from_pem(&read(path)?, &path.display().to_string())
}

/// The whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}
