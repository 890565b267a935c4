//! A cluster's folder: its authorities, its certificates, and what is applied to it.
//!
//! | file | what |
//! |---|---|
//! | `cluster` | the cluster's name: a folder serves one |
//! | `helium-ca.crt`, `.key` | authority for serving the API: what a kube-apiserver and joining clusters trust |
//! | `store-ca.crt`, `.key` | authority of the member: what its `Member` lists |
//! | `helium-apiserver.crt`, `.key` | serving certificate, with its authority behind it, so that a hash is enough to know it |
//! | `kine-shim.crt`, `.key` | member certificate of kine-shim, to clients and to its peers |
//! | `store-client.crt`, `.key` | member certificate of helium-apiserver, for the store |
//! | `objects.yaml` | all that as Secrets, with the namespace and the cluster's name |
//! | `trust.pem` | the authorities of all members when this one joined |
//! | `endpoint` | URL of the database, if the join file had one |
//!
//! Two authorities, so that a certificate for serving the API opens no door to the store. A certificate is made again when it
//! is missing, lacks a name, isn't of this cluster's authority, or ends within a month; everything else stays as it is.

use std::path::{Path, PathBuf};

use helium_tls::pki::{Authority, Issued};
use helium_tls::{CertificateSummary, Component, certificates_from_file, certificates_from_pem};
use jiff::Timestamp;

use super::objects;
use crate::error::{Error, Result};
use crate::files::{self, DataDir};
use crate::options::Names;

/// Certificates that end sooner are made again.
const RENEW_BEFORE_SECONDS: i64 = 30 * 86_400;

/// The file with the database's URL.
pub(super) const ENDPOINT: &str = "endpoint";

/// What the aggregator expects in the certificate of helium-apiserver.
const API_NAME: &str = "helium-apiserver.helium-system.svc";
/// What helium-apiserver expects in the certificate of kine-shim.
const STORE_NAME: &str = "kine-shim.helium-system.svc";

/// A cluster's folder, which no other process changes meanwhile.
#[derive(Debug)]
pub(super) struct Folder {
    dir: DataDir,
    cluster: String,
}

/// What was made or found.
#[derive(Debug)]
pub(super) struct Prepared {
    /// The member's authorities, PEM.
    pub(super) authorities: String,
    /// Names of the files that were made now.
    pub(super) made: Vec<String>,
}

impl Folder {
    /// Opens or makes the folder of a cluster.
    ///
    /// # Errors
    /// If it can't be used, is in use, or is another cluster's.
    pub(super) fn open(path: &Path, cluster: &str) -> Result<Self> {
        let dir = DataDir::open(path)?;
        let marker = dir.path().join("cluster");
        match std::fs::read_to_string(&marker) {
            Ok(name) if name.trim() == cluster => {}
            Ok(name) => {
                return Err(Error::OtherClustersFolder {
                    path: dir.path().to_owned(),
                    owner: name.trim().to_owned(),
                    cluster: cluster.to_owned(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                files::write_secret(&marker, &format!("{cluster}\n"))?;
            }
            Err(source) => {
                return Err(Error::DataDir {
                    path: marker,
                    source,
                });
            }
        }
        Ok(Self {
            dir,
            cluster: cluster.to_owned(),
        })
    }

    /// The folder's path.
    pub(super) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A file in it.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Makes what is missing: authorities, certificates, objects.yaml.
    pub(super) fn prepare(&self, names: &Names) -> Result<Prepared> {
        let mut made = Vec::new();
        let api = self.authority("helium-ca", &mut made)?;
        let store = self.authority("store-ca", &mut made)?;
        let with = |first: &str, more: &[String]| -> Vec<String> {
            let mut all = vec![first.to_owned()];
            all.extend(more.iter().filter(|name| *name != first).cloned());
            all
        };
        let api_names = with(API_NAME, &names.server_names);
        self.certificate("helium-apiserver", &api, &api_names, &mut made, |names| {
            let mut issued = api.issue_server("helium-apiserver", names)?;
            issued.certificate_pem.push_str(api.certificate_pem());
            Ok(issued)
        })?;
        let store_names = with(STORE_NAME, &names.store_names);
        self.certificate("kine-shim", &store, &store_names, &mut made, |names| {
            store.issue_member(&self.cluster, Component::KineShim, names)
        })?;
        self.certificate("store-client", &store, &[], &mut made, |names| {
            store.issue_member(&self.cluster, Component::ApiServer, names)
        })?;
        if self.write("objects.yaml", &objects::render(self, &self.cluster)?)? {
            made.push("objects.yaml".to_owned());
        }
        Ok(Prepared {
            authorities: store.certificate_pem().to_owned(),
            made,
        })
    }

    /// Writes a file, for the owner's eyes; whether it said something else before.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<bool> {
        let path = self.file(name);
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(false);
        }
        files::write_secret(&path, text)?;
        Ok(true)
    }

    /// The text of a file; `None` if it isn't there.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>> {
        let path = self.file(name);
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::DataDir { path, source }),
        }
    }

    fn authority(&self, stem: &str, made: &mut Vec<String>) -> Result<Authority> {
        let certificate = self.file(&format!("{stem}.crt"));
        let key = self.file(&format!("{stem}.key"));
        if !certificate.exists() {
            // A certificate is written after its key: a key without one is of an attempt that was cut off.
            made.push(format!("{stem}.crt"));
            let common_name = format!("{stem} of {}", self.cluster);
            let authority = Authority::new(&common_name)?;
            let (partial, partial_key) = (
                self.file(&format!("{stem}.crt.partial")),
                self.file(&format!("{stem}.key.partial")),
            );
            authority.save(&partial, &partial_key)?;
            rename(&partial_key, &key)?;
            rename(&partial, &certificate)?;
        }
        Ok(Authority::load_or_new(stem, &certificate, &key)?)
    }

    fn certificate(
        &self,
        stem: &str,
        authority: &Authority,
        names: &[String],
        made: &mut Vec<String>,
        issue: impl FnOnce(&[&str]) -> helium_tls::Result<Issued>,
    ) -> Result<()> {
        let path = self.file(&format!("{stem}.crt"));
        let key = self.file(&format!("{stem}.key"));
        if key.exists() && is_good(&path, authority, names) {
            return Ok(());
        }
        // What it was for once, it goes on being for.
        let mut all = names.to_vec();
        all.extend(
            names_of(&path)
                .into_iter()
                .filter(|name| !names.contains(name)),
        );
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let issued = issue(&all)?;
        // The key first: a certificate that is there has its key.
        files::write_secret(&key, &issued.key_pem)?;
        files::write_secret(&path, &issued.certificate_pem)?;
        made.push(format!("{stem}.crt"));
        Ok(())
    }
}

/// Whether a certificate is of that authority, has these names, and lasts.
fn is_good(path: &Path, authority: &Authority, names: &[String]) -> bool {
    let Ok(chain) = certificates_from_file(path) else {
        return false;
    };
    let root = certificates_from_pem(authority.certificate_pem().as_bytes(), "the authority")
        .ok()
        .and_then(|chain| CertificateSummary::of(&chain[0]).ok());
    let leaf = CertificateSummary::of(&chain[0]);
    let (Some(root), Ok(leaf)) = (root, leaf) else {
        return false;
    };
    let lasts = leaf.not_after - Timestamp::now().as_second() > RENEW_BEFORE_SECONDS;
    lasts && leaf.issuer == root.subject && names.iter().all(|name| leaf.names.contains(name))
}

fn names_of(path: &Path) -> Vec<String> {
    certificates_from_file(path)
        .ok()
        .and_then(|chain| CertificateSummary::of(&chain[0]).ok())
        .map(|leaf| leaf.names)
        .unwrap_or_default()
}

fn rename(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).map_err(|source| Error::DataDir {
        path: to.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use helium_tls::CertificateIdentity;

    use super::*;

    fn names(server: &[&str]) -> Names {
        Names {
            server_names: server.iter().map(|name| (*name).to_owned()).collect(),
            store_names: Vec::new(),
        }
    }

    #[test]
    fn a_folder_is_made_once_and_only_what_is_missing_is_made_again() {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("eu-1");
        let prepare = |wanted: &Names| {
            let folder = Folder::open(&path, "eu-1").expect("opened");
            folder.prepare(wanted).expect("prepared")
        };
        let first = prepare(&Names::default());
        assert_eq!(first.made.len(), 6, "{:?}", first.made);
        assert!(prepare(&Names::default()).made.is_empty());

        std::fs::remove_file(path.join("store-client.crt")).expect("removed");
        assert_eq!(
            prepare(&Names::default()).made,
            ["store-client.crt", "objects.yaml"]
        );
        // A name that is wanted now; it stays although nobody asks for it later.
        let more = names(&["helium.example.com", "10.0.0.7"]);
        assert_eq!(
            prepare(&more).made,
            ["helium-apiserver.crt", "objects.yaml"]
        );
        assert!(prepare(&Names::default()).made.is_empty());

        let mode = |name: &str| {
            let metadata = std::fs::metadata(path.join(name)).expect("a file");
            metadata.permissions().mode() & 0o777
        };
        for name in ["store-ca.key", "kine-shim.key", "objects.yaml"] {
            assert_eq!(mode(name), 0o600, "{name}");
        }
    }

    #[test]
    fn member_certificates_name_the_cluster_and_the_component() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(temporary.path(), "eu-1").expect("opened");
        folder.prepare(&Names::default()).expect("prepared");
        for (stem, component) in [("kine-shim", "kine-shim"), ("store-client", "apiserver")] {
            let chain = certificates_from_file(&folder.file(&format!("{stem}.crt")));
            let chain = chain.expect("a certificate");
            let identity = CertificateIdentity::from_certificate(&chain[0]).expect("an identity");
            assert_eq!(identity.common_name, format!("helium:{component}:eu-1"));
            assert_eq!(identity.organizations, ["helium:cluster:eu-1"]);
        }
        let api = certificates_from_file(&folder.file("helium-apiserver.crt")).expect("a chain");
        assert_eq!(api.len(), 2, "the authority is shown too");
    }

    #[test]
    fn a_folder_of_another_cluster_is_refused() {
        let temporary = tempfile::tempdir().expect("a folder");
        drop(Folder::open(temporary.path(), "eu-1").expect("opened"));
        let error = Folder::open(temporary.path(), "eu-2").expect_err("eu-1's");
        assert_eq!(error.code(), "H029");
        assert!(error.to_string().contains("eu-1"), "{error}");
    }

    #[test]
    fn a_start_that_was_cut_off_between_key_and_certificate_is_gone_on_with() {
        let temporary = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(temporary.path(), "eu-1").expect("opened");
        std::fs::write(folder.file("store-ca.key"), "half").expect("written");
        std::fs::write(folder.file("kine-shim.crt"), "half").expect("written");
        folder.prepare(&Names::default()).expect("prepared");
        assert!(
            folder
                .prepare(&Names::default())
                .expect("again")
                .made
                .is_empty()
        );
    }
}
