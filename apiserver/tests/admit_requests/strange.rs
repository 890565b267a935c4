//! Requests that no client of good will sends: whatever they are, an answer comes and the server
//! goes on.

use http::{Method, Request};
use http_body_util::Full;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use crate::support::Harness;

/// Pieces that paths and headers are made of: each is special to some parser.
const PIECES: &[&str] = &[
    "/",
    "//",
    "api",
    "apis",
    "v1",
    "g.example",
    "namespaces",
    "watch",
    "proxy",
    "status",
    "openapi",
    "v2",
    "v3",
    "healthz",
    "readyz",
    "livez",
    "%2F",
    "%00",
    "%",
    "%ff",
    "..",
    ".",
    "~",
    "a",
    "?",
    "&",
    "=",
    "watch=1",
    "fieldSelector=metadata.name=",
    "timeout=",
    "-1s",
    "pretty",
    "exclude=",
    "hash=",
    ";",
    ",",
    "q=",
    "as=Table",
    "application/json",
    "*/*",
    "apidiscovery.k8s.io",
    "\"",
    "'",
    " ",
    "Bearer",
    "W/",
    "*",
    "é",
    "x",
];
const HEADERS: &[&str] = &[
    "accept",
    "authorization",
    "content-type",
    "if-none-match",
    "x-remote-user",
    "x-remote-group",
    "x-remote-extra-%",
    "x-remote-extra-%ff%2",
    "impersonate-group",
    "audit-id",
    "user-agent",
    "accept-encoding",
    "expect",
];

fn soup(random: &mut StdRng) -> String {
    let length = random.random_range(0..8);
    (0..length)
        .map(|_| PIECES[random.random_range(0..PIECES.len())])
        .collect()
}

#[tokio::test]
async fn no_path_and_no_header_makes_the_server_panic() {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(rand::random);
    eprintln!("SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let harness = Harness::plain().await;
    let proxy = harness.pki.front_proxy("front-proxy-client");
    let clients = [harness.client(None), harness.client(Some(&proxy))];
    let methods = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    for round in 0..400 {
        let method = methods[random.random_range(0..methods.len())].clone();
        let uri = format!(
            "https://localhost/{}",
            soup(&mut random).replace([' ', '"'], "")
        );
        let mut builder = Request::builder().method(method).uri(&uri);
        for _ in 0..random.random_range(0..4) {
            let name = HEADERS[random.random_range(0..HEADERS.len())];
            if let Ok(value) = http::HeaderValue::from_bytes(soup(&mut random).as_bytes()) {
                builder = builder.header(name, value);
            }
        }
        let Ok(request) = builder.body(Full::new(soup(&mut random).into())) else {
            continue;
        };
        let shown = format!("{request:?}");
        let answer = clients[round % 2].send(request).await;
        assert_ne!(answer.code, 500, "{shown}: {}", answer.text());
    }
    let metrics = clients[0].get("/metrics").await.text();
    assert!(
        metrics.contains("apiserver_request_panics_total 0"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_client_that_speaks_no_tls_disturbs_nobody() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let harness = Harness::plain().await;
    let address = harness.running.local_addr();
    for junk in [
        "GET / HTTP/1.1\r\n\r\n".as_bytes(),
        &[0; 64],
        &[0x16, 0x03, 0x01, 0xff, 0xff],
    ] {
        let mut stream = tokio::net::TcpStream::connect(address)
            .await
            .expect("connected");
        stream.write_all(junk).await.expect("sent");
        stream.shutdown().await.expect("closed");
        let mut rest = Vec::new();
        let _either_way = stream.read_to_end(&mut rest).await;
    }
    assert_eq!(harness.client(None).get("/version").await.code, 200);
}
