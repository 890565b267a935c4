use std::sync::Arc;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Authority;
use crate::{
    CertificateIdentity, ClientAuth, ClientCas, ClientTls, ClientTlsFiles, ServerTls,
    ServerTlsFiles, certificates_from_pem,
};

/// Connects once; the outcome is what the server saw of the client's chain.
async fn handshake(server: &ServerTls, client: &ClientTls) -> Result<Option<String>, String> {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let acceptor = tokio_rustls::TlsAcceptor::from(server.config());
    let accept = async move {
        let mut stream = acceptor
            .accept(far)
            .await
            .map_err(|error| error.to_string())?;
        let subject = stream.get_ref().1.peer_certificates().map(|chain| {
            CertificateIdentity::from_certificate(&chain[0])
                .expect("a parsed subject")
                .common_name
        });
        stream
            .write_all(b"x")
            .await
            .map_err(|error| error.to_string())?;
        Ok(subject)
    };
    let connector = tokio_rustls::TlsConnector::from(client.config());
    let connect = async move {
        let name = ServerName::try_from("localhost").expect("a name");
        let mut stream = connector
            .connect(name, near)
            .await
            .map_err(|error| error.to_string())?;
        stream.read_u8().await.map_err(|error| error.to_string())?;
        Ok::<(), String>(())
    };
    let (seen, connected) = tokio::join!(accept, connect);
    connected.and(seen)
}

#[tokio::test]
async fn required_client_certificate_is_verified_against_its_bundle() {
    let folder = tempfile::tempdir().expect("a folder");
    let ours = Authority::new("ours").expect("an authority");
    let theirs = Authority::new("theirs").expect("an authority");
    let server_cert = ours
        .issue_server("server", &["localhost", "127.0.0.1"])
        .expect("issued");
    ours.save(&folder.path().join("ca.crt"), &folder.path().join("ca.key"))
        .expect("saved");
    let cas = Arc::new(ClientCas::new());
    cas.set("client", ours.certificate_pem().as_bytes())
        .expect("a bundle");
    let server = |auth| {
        ServerTls::from_pem(
            server_cert.certificate_pem.as_bytes(),
            server_cert.key_pem.as_bytes(),
            Arc::clone(&cas),
            auth,
            &["h2"],
        )
        .expect("a server")
    };
    let client = |authority: Option<&Authority>, stem: &str| {
        let mut files = ClientTlsFiles {
            ca: Some(folder.path().join("ca.crt")),
            ..Default::default()
        };
        if let Some(authority) = authority {
            let (certificate, key) = authority
                .issue_client("maria", &["system:masters"])
                .expect("issued")
                .save(folder.path(), stem)
                .expect("saved");
            files.certificate = Some(certificate);
            files.key = Some(key);
        }
        ClientTls::load(&files, &["h2"]).expect("a client")
    };
    let (good, foreign, bare) = (
        client(Some(&ours), "good"),
        client(Some(&theirs), "foreign"),
        client(None, ""),
    );

    let strict = server(ClientAuth::Require);
    assert_eq!(
        handshake(&strict, &good).await,
        Ok(Some("maria".to_owned()))
    );
    assert!(handshake(&strict, &foreign).await.is_err());
    assert!(handshake(&strict, &bare).await.is_err());

    // Asked for only: a foreign certificate passes the handshake and fails the verification.
    let lenient = server(ClientAuth::Request);
    assert_eq!(
        handshake(&lenient, &foreign).await,
        Ok(Some("maria".to_owned()))
    );
    assert_eq!(handshake(&lenient, &bare).await, Ok(None));
    let chain = |stem: &str| {
        let text = std::fs::read(folder.path().join(stem)).expect("a file");
        certificates_from_pem(&text, stem).expect("a chain")
    };
    assert!(cas.verify("client", &chain("good.crt")));
    assert!(!cas.verify("client", &chain("foreign.crt")));
    assert!(!cas.verify("requestheader", &chain("good.crt")));
    assert!(!cas.verify("client", &[]));
}

#[tokio::test]
async fn reload_serves_the_new_certificate_and_keeps_the_old_one_when_files_are_broken() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("ca").expect("an authority");
    let issue = || {
        authority
            .issue_server("server", &["localhost"])
            .expect("issued")
    };
    let (certificate, key) = issue().save(folder.path(), "tls").expect("saved");
    let files = ServerTlsFiles {
        certificate: certificate.clone(),
        key,
    };
    let server = ServerTls::load(files, Arc::new(ClientCas::new()), ClientAuth::None, &[])
        .expect("a server");
    assert!(!server.reload().expect("nothing new"));
    issue().save(folder.path(), "tls").expect("saved");
    assert!(server.reload().expect("a new certificate"));
    let other = issue();
    std::fs::write(&certificate, &other.certificate_pem).expect("written");
    let error = server.reload().expect_err("certificate and key differ");
    assert!(
        error.to_string().contains("doesn't match the private key"),
        "{error}"
    );
    assert!(!folder.path().join("nothing").exists());
}

#[test]
fn authority_is_loaded_again_and_signs_for_the_same_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (
        folder.path().join("pki/ca.crt"),
        folder.path().join("pki/ca.key"),
    );
    let first = Authority::load_or_new("fleet", &certificate, &key).expect("made");
    let second = Authority::load_or_new("fleet", &certificate, &key).expect("loaded");
    assert_eq!(first.certificate_pem(), second.certificate_pem());
    let issued = second
        .issue_client("cluster-1", &["helium:clusters"])
        .expect("issued");
    let chain = certificates_from_pem(issued.certificate_pem.as_bytes(), "issued").expect("parsed");
    let cas = ClientCas::new();
    cas.set("fleet", first.certificate_pem().as_bytes())
        .expect("a bundle");
    assert!(cas.verify("fleet", &chain));
    let identity = CertificateIdentity::from_certificate(&chain[0]).expect("an identity");
    assert_eq!(identity.common_name, "cluster-1");
    assert_eq!(identity.organizations, ["helium:clusters"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(&key).expect("the key").permissions(),
    );
    assert_eq!(mode & 0o777, 0o600);
}

/// The issuing library's names hold one value a type, so that of several groups only the last one
/// came through.
#[test]
fn a_client_certificate_carries_all_its_organisations_in_order() {
    let authority = Authority::new("fleet").expect("an authority");
    let long = "g".repeat(300);
    let lists: [&[&str]; 5] = [
        &[],
        &["one"],
        &["system:masters", "helium:clusters"],
        &["c", "a", "b", "a", "größe"],
        &[&long, &long, &long],
    ];
    for organizations in lists {
        let issued = authority
            .issue_client("cluster-1", organizations)
            .expect("issued");
        let chain =
            certificates_from_pem(issued.certificate_pem.as_bytes(), "issued").expect("parsed");
        let identity = CertificateIdentity::from_certificate(&chain[0]).expect("an identity");
        assert_eq!(identity.common_name, "cluster-1");
        assert_eq!(identity.organizations, organizations);

        // The rest of the certificate is whole: a strict parser reads it to its last byte, and the
        // authority's signature fits.
        let (rest, parsed) = X509Certificate::from_der(&chain[0]).expect("a certificate");
        assert!(rest.is_empty());
        assert_eq!(parsed.subject().iter().count(), 1 + organizations.len());
        let usage = parsed.extended_key_usage().expect("well-formed");
        assert!(usage.is_some_and(|usage| usage.value.client_auth));
        let cas = ClientCas::new();
        cas.set("fleet", authority.certificate_pem().as_bytes())
            .expect("a bundle");
        assert!(cas.verify("fleet", &chain), "{organizations:?}");
    }
}

#[test]
fn a_file_without_pem_is_named_in_the_error() {
    let error = certificates_from_pem(b"hello", "server.crt").expect_err("no certificate");
    assert_eq!(
        error.to_string(),
        "server.crt holds no valid PEM certificate"
    );
    let error = crate::key_from_pem(b"hello", "server.key").expect_err("no key");
    assert_eq!(
        error.to_string(),
        "server.key holds no valid PEM private key"
    );
}
