//! The names in a certificate, as Kubernetes reads them: common name = user, organisations = groups.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::{Error, Result};

/// The subject of a certificate. It means nothing until a bundle has verified the chain
/// ([`crate::ClientCas::verify`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateIdentity {
    /// The subject's common name; empty if there is none.
    pub common_name: String,
    /// The subject's organisations, in order.
    pub organizations: Vec<String>,
}

impl CertificateIdentity {
    /// Reads the subject of a DER certificate.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self> {
        let (_rest, parsed) = X509Certificate::from_der(certificate)
            .map_err(|error| Error::Parse(error.to_string()))?;
        let subject = parsed.subject();
        let text = |attribute: &x509_parser::x509::AttributeTypeAndValue<'_>| {
            attribute.as_str().ok().map(str::to_owned)
        };
        Ok(Self {
            common_name: subject
                .iter_common_name()
                .find_map(text)
                .unwrap_or_default(),
            organizations: subject.iter_organization().filter_map(text).collect(),
        })
    }
}
