//! TLS towards PostgreSQL, with the modes of libpq and the files of kine's flags.

#![allow(
    clippy::unwrap_used,
    reason = "a test panics rather than return an error"
)]

use std::path::{Path, PathBuf};
use std::process::Command;

use helium_journal::{ErrorKind, Options, TlsFiles, chain, endpoint};
use helium_testkit::Postgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

type Ca = CertifiedIssuer<'static, KeyPair>;

fn ca(name: &str) -> Ca {
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap()
}

/// Writes a certificate for a name, and its key, and returns their paths.
fn leaf(folder: &Path, file: &str, name: &str, ca: &Ca) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
    parameters
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let certificate = parameters.signed_by(&key, ca).unwrap();
    let (pem, key_pem) = (
        folder.join(format!("{file}.crt")),
        folder.join(format!("{file}.key")),
    );
    std::fs::write(&pem, certificate.pem()).unwrap();
    std::fs::write(&key_pem, key.serialize_pem()).unwrap();
    (pem, key_pem)
}

/// Puts a server's files where it may read them, and its rules: TLS only, and a client certificate
/// for `certain`.
async fn secured(ca_pem: &Path, certificate: &Path, key: &Path) -> Postgres {
    let mut server = Postgres::start().await;
    let folder = server.socket_folder().to_owned();
    for (source, name) in [
        (ca_pem, "ca.crt"),
        (certificate, "server.crt"),
        (key, "server.key"),
    ] {
        let target = folder.join("data").join(name);
        std::fs::copy(source, &target).unwrap();
        let reference = format!("--reference={}", folder.join("data/PG_VERSION").display());
        let owned = Command::new("chown").arg(&reference).arg(&target).status();
        assert!(owned.unwrap().success());
        let private = Command::new("chmod").arg("600").arg(&target).status();
        assert!(private.unwrap().success());
    }
    let rules = "local all all trust\n\
                 hostssl all certain 127.0.0.1/32 cert\n\
                 hostssl all all 127.0.0.1/32 password\n";
    std::fs::write(folder.join("data/pg_hba.conf"), rules).unwrap();
    let settings = "ssl = on\nssl_ca_file = 'ca.crt'\n";
    std::fs::write(folder.join("data/postgresql.auto.conf"), settings).unwrap();
    server.restart().await;
    server
}

async fn kind(url: &str, files: &TlsFiles) -> Option<ErrorKind> {
    match endpoint::open(url, files, &Options::default()).await {
        Ok(journal) => {
            journal.log_meta().await.unwrap();
            journal.close().await;
            None
        }
        Err(error) => {
            println!("{url}: {}", chain(&error));
            Some(error.kind())
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_mode_checks_what_it_promises() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, others) = (ca("ours"), ca("others"));
    let (ca_pem, other_pem) = (
        folder.path().join("ca.pem"),
        folder.path().join("other.pem"),
    );
    std::fs::write(&ca_pem, ours.pem()).unwrap();
    std::fs::write(&other_pem, others.pem()).unwrap();
    // The certificate names localhost; 127.0.0.1 is the same server under a name it doesn't have.
    let (certificate, key) = leaf(folder.path(), "server", "localhost", &ours);
    let server = secured(&ca_pem, &certificate, &key).await;
    let at = |host: &str, query: &str| {
        let port = server.port();
        format!("postgres://postgres:postgres@{host}:{port}/x?{query}")
    };
    let none = TlsFiles::default();
    let root = |path: &Path| format!("sslrootcert={}", path.display());

    assert_eq!(kind(&at("127.0.0.1", ""), &none).await, None, "prefer");
    assert_eq!(kind(&at("127.0.0.1", "sslmode=require"), &none).await, None);
    let plain = kind(&at("127.0.0.1", "sslmode=disable"), &none).await;
    assert_eq!(plain, Some(ErrorKind::Denied), "the server wants TLS");
    let full = |host, ca: &Path| at(host, &format!("sslmode=verify-full&{}", root(ca)));
    let chain_only = |host, ca: &Path| at(host, &format!("sslmode=verify-ca&{}", root(ca)));
    assert_eq!(kind(&full("localhost", &ca_pem), &none).await, None);
    let wrong_name = kind(&full("127.0.0.1", &ca_pem), &none).await;
    assert_eq!(wrong_name, Some(ErrorKind::Endpoint));
    assert_eq!(kind(&chain_only("127.0.0.1", &ca_pem), &none).await, None);
    let wrong_ca = kind(&chain_only("127.0.0.1", &other_pem), &none).await;
    assert_eq!(wrong_ca, Some(ErrorKind::Endpoint));
    // kine's flag alone means verify-full.
    let flag = |ca: &Path| TlsFiles {
        ca_file: Some(ca.to_owned()),
        ..TlsFiles::default()
    };
    assert_eq!(kind(&at("localhost", ""), &flag(&ca_pem)).await, None);
    let by_flag = kind(&at("localhost", ""), &flag(&other_pem)).await;
    assert_eq!(by_flag, Some(ErrorKind::Endpoint));
    let missing = kind(&at("localhost", ""), &flag(Path::new("/no/such.pem"))).await;
    assert_eq!(missing, Some(ErrorKind::Endpoint));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_certificate_is_presented() {
    let folder = tempfile::tempdir().unwrap();
    let ours = ca("ours");
    let ca_pem = folder.path().join("ca.pem");
    std::fs::write(&ca_pem, ours.pem()).unwrap();
    let (certificate, key) = leaf(folder.path(), "server", "localhost", &ours);
    let server = secured(&ca_pem, &certificate, &key).await;
    let over_the_socket = format!(
        "psql -X -q -h {} -p {} -U postgres -c 'CREATE ROLE certain LOGIN CREATEDB'",
        server.socket_folder().display(),
        server.port()
    );
    let created = Command::new("sh").arg("-c").arg(over_the_socket).status();
    assert!(created.unwrap().success());
    let (cert_file, key_file) = leaf(folder.path(), "client", "certain", &ours);
    let files = TlsFiles {
        ca_file: Some(ca_pem),
        cert_file: Some(cert_file),
        key_file: Some(key_file),
    };
    let url = format!("postgres://certain@localhost:{}/x", server.port());
    assert_eq!(kind(&url, &files).await, None);
    let without = TlsFiles {
        cert_file: None,
        key_file: None,
        ..files.clone()
    };
    assert_eq!(kind(&url, &without).await, Some(ErrorKind::Denied));
    let half = TlsFiles {
        key_file: None,
        ..files
    };
    assert_eq!(kind(&url, &half).await, Some(ErrorKind::Endpoint));
}
