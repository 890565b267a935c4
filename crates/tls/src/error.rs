//! What can go wrong with certificates and keys, always with the file that is at fault.

use std::path::PathBuf;

/// A [`std::result::Result`] with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Errors of loading, checking and issuing certificates.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file couldn't be read or written. Check the path and its permissions.
    #[error("accessing {}", path.display())]
    File {
        /// The file in question.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// The text holds no PEM block of the kind that was asked for, or a broken one.
    #[error("{origin} holds no valid PEM {kind}")]
    Pem {
        /// A file name or a description of where the text came from.
        origin: String,
        /// `certificate` or `private key`.
        kind: &'static str,
        /// The parser's complaint; absent if the text simply holds no such block.
        #[source]
        source: Option<rustls_pki_types::pem::Error>,
    },
    /// The certificate and the private key don't belong together, or the key can't sign.
    #[error("the certificate in {certificate} doesn't match the private key in {key}")]
    KeyMismatch {
        /// Where the certificate came from.
        certificate: String,
        /// Where the key came from.
        key: String,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// A TLS configuration was refused.
    #[error("building the TLS configuration")]
    Config(#[source] rustls::Error),
    /// A bundle of authorities holds a certificate that can't be one.
    #[error("{origin} holds a certificate that can't serve as an authority")]
    Authority {
        /// A file name or a description of where the bundle came from.
        origin: String,
        /// What rustls said.
        #[source]
        source: rustls::Error,
    },
    /// A verifier of client certificates couldn't be built.
    #[error("building the verifier of client certificates for {origin}")]
    Verifier {
        /// The bundle's name.
        origin: String,
        /// What rustls said.
        #[source]
        source: rustls::client::VerifierBuilderError,
    },
    /// A certificate couldn't be issued or parsed by the issuing side.
    #[error("issuing a certificate for {subject}")]
    Issue {
        /// The subject's common name.
        subject: String,
        /// What the issuing library said.
        #[source]
        source: rcgen::Error,
    },
    /// A certificate couldn't be parsed.
    #[error("parsing a certificate: {0}")]
    Parse(String),
}
