//! Servers with the right key that aren't what they should be: another program, and one whose clock is wrong.

use std::sync::{Arc, Mutex};

use helium_tls::pki::Authority;
use helium_tls::{ClientAuth, ClientCas, PublicKeyHash, ServerTls, certificates_from_pem};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::support::{Ended, has, helium};

/// A TLS server that answers everything but `/livez` with one text, and tells a time.
struct Impostor {
    url: String,
    hash: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Impostor {
    async fn start(ahead: SignedDuration, status: &'static str, body: Value) -> Self {
        let authority = Authority::new("ca").expect("an authority");
        let issued = authority
            .issue_server("server", &["127.0.0.1"])
            .expect("issued");
        let chain =
            certificates_from_pem(issued.certificate_pem.as_bytes(), "chain").expect("a chain");
        let tls = ServerTls::from_pem(
            issued.certificate_pem.as_bytes(),
            issued.key_pem.as_bytes(),
            Arc::new(ClientCas::new()),
            ClientAuth::None,
            &["http/1.1"],
        )
        .expect("a server");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("https://{}", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = Arc::clone(&asked);
        let acceptor = tokio_rustls::TlsAcceptor::from(tls.config());
        let task = tokio::spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let Ok(mut stream) = acceptor.accept(stream).await else {
                    continue;
                };
                let mut buffer = vec![0; 64 * 1024];
                let Ok(read) = stream.read(&mut buffer).await else {
                    continue;
                };
                let request = String::from_utf8_lossy(&buffer[..read]).into_owned();
                let first = request.lines().next().unwrap_or_default().to_owned();
                let (status, body) = if first.starts_with("GET /livez") {
                    ("200 OK", "ok".to_owned())
                } else {
                    (status, body.to_string())
                };
                log.lock().expect("not poisoned").push(first);
                let date = (Timestamp::now() + ahead)
                    .strftime("%a, %d %b %Y %H:%M:%S GMT")
                    .to_string();
                let answer = format!(
                    "HTTP/1.1 {status}\r\ndate: {date}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                // The client may have gone away.
                let _gone = stream.write_all(answer.as_bytes()).await;
                let _gone = stream.shutdown().await;
            }
        });
        Self {
            url,
            hash: PublicKeyHash::of(&chain[0]).expect("a hash").to_string(),
            asked,
            task,
        }
    }

    async fn join(&self) -> Ended {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("c4").display().to_string();
        let (url, hash) = (self.url.clone(), self.hash.clone());
        let joining = move || {
            let token = format!("abc123.{}", "0".repeat(24));
            helium(&[
                "join",
                "--cluster-name",
                "c4",
                "--dir",
                &dir,
                "--server",
                &url,
                "--token",
                &token,
                "--ca-hash",
                &hash,
            ])
        };
        let ended = tokio::task::spawn_blocking(joining).await.expect("ends");
        drop(folder);
        ended
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_an_hour_off_is_told_with_both_times_before_anything_is_sent() {
    for ahead in [
        SignedDuration::from_hours(1),
        SignedDuration::from_hours(-1),
    ] {
        let server = Impostor::start(ahead, "404 Not Found", json!({})).await;
        let text = server.join().await.refused("H026");
        has(&text, "the clocks differ by ");
        has(&text, "this machine 2");
        has(&text, "Nothing was sent");
        let asked = server.asked();
        assert_eq!(asked, ["GET /livez HTTP/1.1"], "the token wasn't sent");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_are_something_else_are_named_as_such() {
    let forbidden = json!({"kind": "Status", "reason": "Forbidden", "code": 403,
        "message": "User \"system:anonymous\" cannot post path \"/join\""});
    for (status, body) in [
        ("404 Not Found", json!("404 page not found")),
        ("403 Forbidden", forbidden),
        (
            "401 Unauthorized",
            json!({"kind": "Status", "message": "Unauthorized", "reason": "Unauthorized"}),
        ),
        ("200 OK", json!({"hello": "world"})),
        (
            "201 Created",
            json!({"member": {}, "trust": [], "clusters": []}),
        ),
        ("503 Service Unavailable", json!("busy")),
    ] {
        let server = Impostor::start(SignedDuration::ZERO, status, body).await;
        let text = server.join().await.refused("H028");
        has(&text, "isn't a helium-apiserver");
        has(&text, "not of its kube-apiserver");
        assert_eq!(server.asked().len(), 2, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_cannot_decide_now_is_asked_again_later() {
    let busy = json!({"kind": "Status", "reason": "TooManyRequests", "message": "too many wrong tokens", "code": 429});
    let server = Impostor::start(SignedDuration::ZERO, "429 Too Many Requests", busy).await;
    let text = server.join().await.refused("H038");
    has(&text, "too many wrong tokens");
    has(&text, "the token is still good");
}
