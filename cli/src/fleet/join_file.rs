//! What a cluster needs to join: as arguments of one command, or as a file for its owner's eyes.

use std::path::Path;

use helium_tls::{PublicKeyHash, certificates_from_pem};
use jiff::Timestamp;
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{Error, Result};
use crate::options::{Cluster, Token};

/// The file's content.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct JoinFile {
    /// Who may join.
    pub(super) cluster: String,
    /// The helium-apiserver that lets it in.
    pub(super) server: String,
    /// `id.secret`.
    pub(super) token: String,
    /// Until when.
    pub(super) expires: Timestamp,
    /// Hashes of the key of that server or of its authority.
    pub(super) ca_hashes: Vec<String>,
    /// The authority of that server's certificate, PEM; empty if only hashes are known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) certificate_authority: String,
    /// URL of the database with the new cluster's role.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) database_endpoint: Option<String>,
}

/// What it means, checked.
pub(super) struct Invitation {
    /// Who may join.
    pub(super) cluster: Cluster,
    /// Where.
    pub(super) server: Url,
    /// With what.
    pub(super) token: Token,
    /// Whom to believe.
    pub(super) ca_hashes: Vec<PublicKeyHash>,
    /// Whom to believe.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    /// The database.
    pub(super) database_endpoint: Option<String>,
}

impl JoinFile {
    /// Reads and checks a file.
    pub(super) fn read(path: &Path) -> Result<Invitation> {
        let wrong = |reason: String| Error::JoinFile {
            path: path.to_owned(),
            reason,
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let file: Self = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
        let server = Url::parse(&file.server).map_err(|error| wrong(format!("server: {error}")))?;
        if server.scheme() != "https" {
            return Err(wrong("server: only https is believed".to_owned()));
        }
        let authorities = if file.certificate_authority.is_empty() {
            Vec::new()
        } else {
            certificates_from_pem(
                file.certificate_authority.as_bytes(),
                "certificateAuthority",
            )
            .map_err(|error| wrong(error.to_string()))?
        };
        let hashes = file.ca_hashes.iter().map(|hash| hash.parse());
        let ca_hashes: Vec<PublicKeyHash> = hashes
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(format!("caHashes: {error}")))?;
        if ca_hashes.is_empty() && authorities.is_empty() {
            return Err(wrong(
                "it says neither caHashes nor certificateAuthority: nobody could be believed"
                    .to_owned(),
            ));
        }
        Ok(Invitation {
            cluster: file
                .cluster
                .parse()
                .map_err(|error| wrong(format!("cluster: {error}")))?,
            server,
            token: file
                .token
                .parse()
                .map_err(|error| wrong(format!("token: {error}")))?,
            ca_hashes,
            authorities,
            database_endpoint: file.database_endpoint,
        })
    }

    /// The command that does the same, if everything fits into one: secrets of the database don't.
    pub(super) fn command(&self) -> String {
        let hashes: String = self
            .ca_hashes
            .iter()
            .map(|hash| format!(" \\\n    --ca-hash {hash}"))
            .collect();
        format!(
            "helium join --cluster-name {cluster} --dir ./{cluster} \\\n    --server {server} --token {token}{hashes}",
            cluster = self.cluster,
            server = self.server,
            token = self.token,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file() -> JoinFile {
        JoinFile {
            cluster: "eu-2".to_owned(),
            server: "https://helium.example.com:8443".to_owned(),
            token: "abc123.0123456789abcdefghijklmn".to_owned(),
            expires: "2026-01-01T00:00:00Z".parse().expect("a time"),
            ca_hashes: vec![format!("sha256:{}", "a".repeat(64))],
            certificate_authority: String::new(),
            database_endpoint: None,
        }
    }

    fn read(change: impl FnOnce(&mut serde_json::Value)) -> Result<Invitation> {
        let mut value = serde_json::to_value(file()).expect("JSON");
        change(&mut value);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("join.json");
        std::fs::write(&path, value.to_string()).expect("written");
        JoinFile::read(&path)
    }

    #[test]
    fn what_was_written_is_read() {
        let invitation = read(|_| {}).expect("good");
        assert_eq!(invitation.cluster.as_str(), "eu-2");
        assert_eq!(invitation.token.id(), "abc123");
        assert_eq!(invitation.ca_hashes.len(), 1);
    }

    #[test]
    fn what_is_wrong_in_a_file_is_named() {
        type Change = fn(&mut serde_json::Value);
        let cases: [(&str, Change); 6] = [
            ("cluster", |file| file["cluster"] = "EU".into()),
            ("https", |file| file["server"] = "http://a".into()),
            ("token", |file| file["token"] = "x".into()),
            ("caHashes", |file| file["caHashes"][0] = "x".into()),
            ("nobody could be believed", |file| {
                file["caHashes"] = serde_json::json!([])
            }),
            ("unknown field", |file| file["extra"] = 1.into()),
        ];
        for (part, change) in cases {
            let error = match read(change) {
                Ok(_) => panic!("{part}: accepted"),
                Err(error) => error,
            };
            assert_eq!(error.code(), "H032");
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn the_command_says_it_all() {
        let command = file().command();
        for part in [
            "--cluster-name eu-2",
            "--server https://helium.example.com:8443",
            "--token abc123.0123456789abcdefghijklmn",
            "--ca-hash sha256:aaaa",
        ] {
            assert!(command.contains(part), "{command}");
        }
    }
}
