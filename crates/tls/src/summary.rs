//! What people and checks want to know of a certificate.

use rustls_pki_types::CertificateDer;
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use crate::error::{Error, Result};

/// What a certificate says of itself. It means nothing until a chain has been verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateSummary {
    /// The subject, as RFC 4514 writes names.
    pub subject: String,
    /// Who has signed it, in the same form.
    pub issuer: String,
    /// From then on it is valid; seconds since 1970.
    pub not_before: i64,
    /// Until then it is valid; seconds since 1970.
    pub not_after: i64,
    /// The DNS names and IP addresses that it is for.
    pub names: Vec<String>,
    /// Whether it may sign others.
    pub is_authority: bool,
    /// The hash of its public key.
    pub key_hash: PublicKeyHash,
}

/// SHA-256 of a certificate's public key (its `SubjectPublicKeyInfo`), written `sha256:<hex>`: the same
/// form, over the same bytes, as kubeadm's discovery hash. It outlives a renewal that keeps the key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PublicKeyHash(String);

impl PublicKeyHash {
    /// The hash of a certificate's public key.
    ///
    /// # Errors
    /// [`Error::Parse`] if it isn't a certificate.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self> {
        Ok(Self::of_parsed(&parse(certificate)?))
    }

    fn of_parsed(certificate: &X509Certificate<'_>) -> Self {
        let digest = Sha256::digest(certificate.public_key().raw);
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        Self(format!("sha256:{hex}"))
    }
}

impl std::fmt::Display for PublicKeyHash {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::str::FromStr for PublicKeyHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let lower = text.trim().to_ascii_lowercase();
        let digits = lower.strip_prefix("sha256:").unwrap_or_default();
        if digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            Ok(Self(lower))
        } else {
            Err(format!(
                "{text:?} is no hash of a public key: expected sha256: and 64 hexadecimal digits"
            ))
        }
    }
}

impl CertificateSummary {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// [`Error::Parse`] if it isn't one.
    pub fn of(certificate: &CertificateDer<'_>) -> Result<Self> {
        let parsed = parse(certificate)?;
        let names = match parsed.subject_alternative_name() {
            Ok(Some(extension)) => extension.value.general_names.as_slice(),
            Ok(None) | Err(_) => &[],
        };
        Ok(Self {
            subject: parsed.subject().to_string(),
            issuer: parsed.issuer().to_string(),
            not_before: parsed.validity().not_before.timestamp(),
            not_after: parsed.validity().not_after.timestamp(),
            names: names.iter().filter_map(name).collect(),
            is_authority: parsed.is_ca(),
            key_hash: PublicKeyHash::of_parsed(&parsed),
        })
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>> {
    X509Certificate::from_der(certificate)
        .map(|(_rest, parsed)| parsed)
        .map_err(|error| Error::Parse(error.to_string()))
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match *bytes {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            bytes => <[u8; 16]>::try_from(bytes)
                .ok()
                .map(|octets| std::net::Ipv6Addr::from(octets).to_string()),
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificates_from_pem;
    use crate::pki::Authority;

    #[test]
    fn summary_names_subject_issuer_names_and_key() {
        let authority = Authority::new("ca").expect("an authority");
        let issued = authority
            .issue_server("server", &["localhost", "127.0.0.1", "::1"])
            .expect("issued");
        let read = |pem: &str| {
            let chain = certificates_from_pem(pem.as_bytes(), "test").expect("a certificate");
            CertificateSummary::of(&chain[0]).expect("a summary")
        };
        let (leaf, root) = (
            read(&issued.certificate_pem),
            read(authority.certificate_pem()),
        );
        assert_eq!(leaf.subject, "CN=server");
        assert_eq!(leaf.issuer, root.subject);
        assert_eq!(leaf.names, ["localhost", "127.0.0.1", "::1"]);
        assert!(root.is_authority && !leaf.is_authority);
        assert_ne!(leaf.key_hash, root.key_hash);
        assert!(leaf.not_before < leaf.not_after && leaf.not_after < root.not_after);
        let text = root.key_hash.to_string();
        assert_eq!(
            text.to_uppercase().replace("SHA256", "sha256").parse(),
            Ok(root.key_hash)
        );
    }

    #[test]
    fn texts_that_are_no_hash_are_refused_with_the_form() {
        for text in ["", "sha256:", "sha256:abc", "md5:00", &"0".repeat(64)] {
            let error = text.parse::<PublicKeyHash>().expect_err(text);
            assert!(error.contains("64 hexadecimal digits"), "{error}");
        }
    }
}
