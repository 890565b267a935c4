//! A small certificate authority: for one machine, for tests, and for a cluster that has no other.
//!
//! Keys are ECDSA P-256. Files are written with owner-only permissions where they hold a key.
//! Certificates start an hour in the past, so that a clock that is slightly behind still accepts
//! them.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use ::pem::{EncodeConfig, LineEnding, Pem};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};

use crate::error::{Error, Result};
use crate::identity::{CLUSTER_PREFIX, Component};
use crate::pem;

mod subject;

/// How long an authority is valid, in days.
const AUTHORITY_DAYS: i64 = 3650;
/// How long an issued certificate is valid, in days.
const CERTIFICATE_DAYS: i64 = 365;

/// An authority that can issue certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate_pem: String,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub struct Issued {
    /// The certificate, without its authority.
    pub certificate_pem: String,
    /// PKCS#8 private key.
    pub key_pem: String,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the key.
        formatter
            .debug_struct("Issued")
            .field("certificate_pem", &self.certificate_pem)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new self-signed authority with that common name.
    pub fn new(common_name: &str) -> Result<Self> {
        let error = |source| Error::Issue {
            subject: common_name.to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(error)?;
        let mut params = params(common_name, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate_pem = params.self_signed(&key).map_err(error)?.pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate_pem,
        })
    }

    /// Reads an authority back from files that [`Self::save`] wrote, or makes and saves a new one if
    /// neither file is there.
    pub fn load_or_new(common_name: &str, certificate: &Path, key: &Path) -> Result<Self> {
        if !certificate.exists() && !key.exists() {
            let authority = Self::new(common_name)?;
            authority.save(certificate, key)?;
            return Ok(authority);
        }
        let certificate_pem = String::from_utf8_lossy(&pem::read(certificate)?).into_owned();
        let key_pem = String::from_utf8_lossy(&pem::read(key)?).into_owned();
        let error = |source| Error::Issue {
            subject: common_name.to_owned(),
            source,
        };
        let key = KeyPair::from_pem(&key_pem).map_err(error)?;
        let issuer = Issuer::from_ca_cert_pem(&certificate_pem, key).map_err(error)?;
        Ok(Self {
            issuer,
            certificate_pem,
        })
    }

    /// Writes the authority's certificate and key.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<()> {
        write(certificate, &self.certificate_pem, false)?;
        write(key, &self.issuer.key().serialize_pem(), true)
    }

    /// The authority's own certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// Issues a serving certificate for these DNS names and IP addresses (at least one).
    pub fn issue_server(&self, common_name: &str, names: &[&str]) -> Result<Issued> {
        let mut params = params(common_name, CERTIFICATE_DAYS);
        params.subject_alt_names = alternative_names(common_name, names)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(common_name, &[], params)
    }

    /// Issues a client certificate: the common name is the user, the organisations are its groups,
    /// any number of them.
    pub fn issue_client(&self, common_name: &str, organizations: &[&str]) -> Result<Issued> {
        let mut params = params(common_name, CERTIFICATE_DAYS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(common_name, organizations, params)
    }

    /// Issues the certificate of a component of `cluster`, by which the fleet knows it as a member
    /// ([`crate::MemberTrust`]) once the cluster's `Member` lists this authority.
    ///
    /// It is for dialling. With `names`, DNS names and IP addresses, it is for serving as well:
    /// kine-shim shows one certificate to clients and to its peers.
    ///
    /// # Errors
    /// [`Error::Issue`], for names that a certificate can't hold.
    pub fn issue_member(
        &self,
        cluster: &str,
        component: Component,
        names: &[&str],
    ) -> Result<Issued> {
        let common_name = component.common_name(cluster);
        let mut params = params(&common_name, CERTIFICATE_DAYS);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if !names.is_empty() {
            params.subject_alt_names = alternative_names(&common_name, names)?;
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
        }
        let organization = format!("{CLUSTER_PREFIX}{cluster}");
        self.issue(&common_name, &[&organization], params)
    }

    fn issue(
        &self,
        common_name: &str,
        organizations: &[&str],
        mut params: CertificateParams,
    ) -> Result<Issued> {
        let error = |source| Error::Issue {
            subject: common_name.to_owned(),
            source,
        };
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        let key = KeyPair::generate().map_err(error)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(error)?;
        let certificate_pem = if organizations.is_empty() {
            certificate.pem()
        } else {
            let der = subject::extend(certificate.der(), organizations, self.issuer.key());
            let config = EncodeConfig::new().set_line_ending(LineEnding::LF);
            ::pem::encode_config(&Pem::new("CERTIFICATE", der.map_err(error)?), config)
        };
        Ok(Issued {
            certificate_pem,
            key_pem: key.serialize_pem(),
        })
    }
}

impl Issued {
    /// Writes `<stem>.crt` and `<stem>.key` into `directory` and returns both paths.
    pub fn save(&self, directory: &Path, stem: &str) -> Result<(PathBuf, PathBuf)> {
        let certificate = directory.join(format!("{stem}.crt"));
        let key = directory.join(format!("{stem}.key"));
        write(&certificate, &self.certificate_pem, false)?;
        write(&key, &self.key_pem, true)?;
        Ok((certificate, key))
    }
}

fn alternative_names(subject: &str, names: &[&str]) -> Result<Vec<SanType>> {
    let names = names.iter().map(|name| match name.parse::<IpAddr>() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_not_an_address) => Ok(SanType::DnsName((*name).try_into()?)),
    });
    names
        .collect::<Result<_, rcgen::Error>>()
        .map_err(|source| Error::Issue {
            subject: subject.to_owned(),
            source,
        })
}

fn params(common_name: &str, days: i64) -> CertificateParams {
    let mut params = CertificateParams::default();
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    params.distinguished_name = name;
    let now = time::OffsetDateTime::now_utc();
    params.not_before = now - time::Duration::hours(1);
    params.not_after = now + time::Duration::days(days);
    params.use_authority_key_identifier_extension = true;
    params
}

/// Writes a file, created with owner-only permissions if `secret`.
fn write(path: &Path, text: &str, secret: bool) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let error = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(error)?;
    }
    let mode = if secret { 0o600 } else { 0o644 };
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(path)
        .map_err(error)?;
    file.write_all(text.as_bytes()).map_err(error)
}

#[cfg(test)]
mod tests;
