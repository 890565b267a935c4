//! The authorities that a member lists, as PEM: whether they can be used, and which keys they are.

use helium_telemetry::Chain;
use helium_tls::{CertificateSummary, PublicKeyHash};
use rustls::RootCertStore;

/// Longest text.
const MAX_BYTES: usize = 64 * 1024;
/// Most certificates: a few generations, not a whole web of trust.
const MAX_CERTIFICATES: usize = 16;

/// One authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Authority {
    /// Its subject, for people.
    pub(super) subject: String,
    /// What it signs with. Two certificates of one key are one authority: each vouches for what the other signed.
    pub(super) key: PublicKeyHash,
}

/// Why a text can't be a member's authorities. The text itself is in no message: it may be a key.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    /// It is longer than anybody needs.
    #[error(
        "has {0} bytes, of which {MAX_BYTES} are allowed: list only the cluster's own authorities"
    )]
    TooLong(usize),
    /// It has more certificates than anybody needs.
    #[error(
        "has {0} certificates, of which {MAX_CERTIFICATES} are allowed: list only the cluster's own authorities"
    )]
    TooMany(usize),
    /// A secret would be shown to everybody.
    #[error(
        "holds a private key, which is shown to nobody: send certificates only, and make a new authority if this key is in use"
    )]
    PrivateKey,
    /// It isn't PEM, or its content no certificate.
    #[error("is not a list of certificates in PEM: {0}")]
    Unreadable(String),
    /// A certificate can't sign others.
    #[error("certificate {number} ({subject}) is no authority: it lacks the basic constraint CA")]
    NoAuthority {
        /// Its place, from 1.
        number: usize,
        /// Its subject.
        subject: String,
    },
}

/// Reads authorities; at least one.
pub(super) fn parse(pem: &str) -> Result<Vec<Authority>, Error> {
    if pem.len() > MAX_BYTES {
        return Err(Error::TooLong(pem.len()));
    }
    if pem.contains("PRIVATE KEY-----") {
        return Err(Error::PrivateKey);
    }
    let certificates = helium_tls::certificates_from_pem(pem.as_bytes(), "certificateAuthorities")
        .map_err(|error| Error::Unreadable(Chain(&error).to_string()))?;
    if certificates.len() > MAX_CERTIFICATES {
        return Err(Error::TooMany(certificates.len()));
    }
    let mut roots = RootCertStore::empty();
    let mut authorities = Vec::with_capacity(certificates.len());
    for (at, der) in certificates.iter().enumerate() {
        let number = at + 1;
        let unreadable = |why: String| Error::Unreadable(format!("certificate {number}: {why}"));
        let summary = CertificateSummary::of(der).map_err(|error| unreadable(error.to_string()))?;
        let CertificateSummary {
            subject,
            is_authority,
            key_hash: key,
            ..
        } = summary;
        if !is_authority {
            return Err(Error::NoAuthority { number, subject });
        }
        authorities.push(Authority { subject, key });
        roots
            .add(der.clone())
            .map_err(|error| unreadable(error.to_string()))?;
    }
    Ok(authorities)
}

/// The keys of authorities.
pub(super) fn keys(pem: &str) -> Result<Vec<PublicKeyHash>, Error> {
    Ok(parse(pem)?
        .into_iter()
        .map(|authority| authority.key)
        .collect())
}

#[cfg(test)]
mod tests {
    use helium_tls::pki;

    use super::*;

    #[test]
    fn a_bundle_lists_each_of_its_authorities() {
        let (one, two) = (
            pki::Authority::new("one").unwrap(),
            pki::Authority::new("two").unwrap(),
        );
        let pem = format!("{}{}", one.certificate_pem(), two.certificate_pem());
        let found = parse(&pem).unwrap();
        assert_eq!(found[0].subject, "CN=one");
        assert_ne!(found[0].key, found[1].key);
        assert_eq!(keys(one.certificate_pem()).unwrap(), [found[0].key.clone()]);
    }

    #[test]
    fn what_is_no_authority_is_named() {
        let authority = pki::Authority::new("one").unwrap();
        let leaf = authority.issue_client("me", &[]).unwrap();
        let error = parse(&leaf.certificate_pem).unwrap_err();
        assert!(error.to_string().starts_with("certificate 1 (CN=me) is no"));
        assert_eq!(parse(&leaf.key_pem).unwrap_err(), Error::PrivateKey);
        for text in [
            "",
            "PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            assert!(matches!(parse(text), Err(Error::Unreadable(_))), "{text}");
        }
        assert_eq!(
            parse(&" ".repeat(MAX_BYTES + 1)),
            Err(Error::TooLong(MAX_BYTES + 1))
        );
        let many = authority.certificate_pem().repeat(MAX_CERTIFICATES + 1);
        assert_eq!(parse(&many), Err(Error::TooMany(MAX_CERTIFICATES + 1)));
    }
}
