//! The names in a certificate, as Kubernetes reads them: common name = user, organisations = groups.

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::error::{Error, Result};
use crate::members::Distrust;

/// What stands before a cluster's name in the organisation of its certificates.
pub const CLUSTER_PREFIX: &str = "helium:cluster:";

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

/// A program of ours that has a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Component {
    /// `helium-apiserver`.
    ApiServer,
    /// `kine-shim`.
    KineShim,
    /// `helium-agent`.
    Agent,
    /// A person, or what acts for one.
    Operator,
}

impl Component {
    /// As it stands in common names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ApiServer => "apiserver",
            Self::KineShim => "kine-shim",
            Self::Agent => "agent",
            Self::Operator => "operator",
        }
    }

    /// The common name of this component's certificate in a cluster: `helium:<component>:<cluster>`.
    #[must_use]
    pub fn common_name(self, cluster: &str) -> String {
        format!("helium:{}:{cluster}", self.name())
    }
}

impl CertificateIdentity {
    /// The one cluster that the certificate names: its organisation `helium:cluster:<name>`.
    ///
    /// # Errors
    /// [`Distrust::NoCluster`], and [`Distrust::Ambiguous`] if a second cluster is named, be it by
    /// another organisation or by a common name of ours.
    pub fn cluster(&self) -> Result<&str, Distrust> {
        let mut named = self
            .organizations
            .iter()
            .filter_map(|organization| organization.strip_prefix(CLUSTER_PREFIX))
            .filter(|name| !name.is_empty());
        let cluster = named.next().ok_or(Distrust::NoCluster)?;
        let common = self
            .common_name
            .strip_prefix("helium:")
            .and_then(|rest| rest.split_once(':'));
        if named.next().is_some() || common.is_some_and(|(_component, name)| name != cluster) {
            return Err(Distrust::Ambiguous);
        }
        Ok(cluster)
    }
}
