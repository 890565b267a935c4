//! A server under test with a registry that echoes what it is asked, a client for it, and authorities.
#![allow(
    dead_code,
    reason = "shared by several test programs, each of which uses a part"
)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use helium_apimachinery::status::Status;
use helium_apiserver::config::{
    Authentication, Authorization, Config, Kubeconfig, Limits, RequestHeader, Rules, ServingTls,
    StoreConfig,
};
use helium_apiserver::definitions::Catalog;
use helium_apiserver::health::Health;
use helium_apiserver::server::Parts;
use helium_apiserver::{ApiRequest, Backend, Body, CatalogSource, Running, Server};
use helium_tls::pki::{Authority, Issued};
use helium_tls::{ClientTls, ClientTlsFiles};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

/// Answers every request with what it was asked; some resource names make it misbehave.
pub(crate) struct Echo {
    pub(crate) started: AtomicBool,
    pub(crate) store_up: AtomicBool,
    pub(crate) catalog: ArcSwap<Catalog>,
    /// What another instance has declared.
    pub(crate) elsewhere: ArcSwapOption<Catalog>,
}

#[async_trait]
impl CatalogSource for Echo {
    fn catalog(&self) -> Arc<Catalog> {
        self.catalog.load_full()
    }

    /// What another instance has declared meanwhile arrives with the confirmation.
    async fn confirm(&self) -> Result<(), Status> {
        if !self.store_up.load(Ordering::SeqCst) {
            return Err(Status::service_unavailable("the store is down"));
        }
        if let Some(catalog) = self.elsewhere.swap(None) {
            self.catalog.store(catalog);
        }
        Ok(())
    }
}

#[async_trait]
impl Backend for Echo {
    async fn handle(&self, request: ApiRequest) -> Response<Body> {
        let target = &request.target;
        match target.resource.as_str() {
            "panics" => panic!("as asked"),
            "hangs" => std::future::pending::<()>().await,
            "warners" => {
                request.warnings.add("first");
                request.warnings.add("second \"quoted\"");
                request.warnings.add("first");
            }
            "streams" => {
                let beats = futures_util::stream::repeat(Bytes::from_static(b"{\"beat\":1}\n"));
                let beats = beats.then(|beat| async {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    Ok::<_, std::convert::Infallible>(beat)
                });
                return Response::new(Body::from_stream(beats));
            }
            _ => {}
        }
        let mut names: Vec<&str> = request.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let filler = if target.resource == "large" {
            "x".repeat(300_000)
        } else {
            String::new()
        };
        let body = json!({
            "verb": request.verb.as_str(),
            "group": target.group,
            "version": target.version,
            "resource": target.resource,
            "subresource": target.subresource,
            "namespace": target.namespace,
            "name": target.name,
            "user": request.user.name,
            "uid": request.user.uid,
            "groups": request.user.groups,
            "extra": request.user.extra,
            "headers": names,
            "bytes": request.body.len(),
            "administers": request.administers,
            "filler": filler,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        let json = http::HeaderValue::from_static("application/json");
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, json);
        response
    }

    fn is_started(&self) -> bool {
        self.started.load(Ordering::SeqCst)
    }
}

/// Authorities and files for one test.
pub(crate) struct Pki {
    pub(crate) directory: TempDir,
    pub(crate) serving: Authority,
    pub(crate) client: Authority,
    pub(crate) proxy: Authority,
}

impl Pki {
    pub(crate) fn new() -> Self {
        let authority = |name: &str| Authority::new(name).expect("an authority");
        let pki = Self {
            directory: tempfile::tempdir().expect("a directory"),
            serving: authority("serving"),
            client: authority("client"),
            proxy: authority("proxy"),
        };
        for (authority, file) in [
            (&pki.serving, "serving"),
            (&pki.client, "client"),
            (&pki.proxy, "proxy"),
        ] {
            let pem = authority.certificate_pem();
            std::fs::write(pki.path(&format!("{file}-ca.crt")), pem).expect("written");
        }
        let names = ["localhost", "127.0.0.1"];
        let issued = pki.serving.issue_server("server", &names).expect("issued");
        issued.save(pki.directory.path(), "server").expect("saved");
        pki
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A certificate of the client authority.
    pub(crate) fn user(&self, name: &str, groups: &[&str]) -> Issued {
        self.client.issue_client(name, groups).expect("issued")
    }

    /// A certificate of the front proxy's authority.
    pub(crate) fn front_proxy(&self, name: &str) -> Issued {
        self.proxy.issue_client(name, &[]).expect("issued")
    }

    pub(crate) fn serving_tls(&self) -> ServingTls {
        ServingTls {
            cert_file: self.path("server.crt"),
            key_file: self.path("server.key"),
        }
    }
}

pub(crate) fn request_header(ca_file: &Path, allowed_names: &[&str]) -> RequestHeader {
    let list = |name: &str| vec![name.to_owned()];
    RequestHeader {
        ca_file: ca_file.to_owned(),
        allowed_names: allowed_names
            .iter()
            .map(|name| (*name).to_owned())
            .collect(),
        username_headers: list("X-Remote-User"),
        uid_headers: Vec::new(),
        group_headers: list("X-Remote-Group"),
        extra_header_prefixes: list("X-Remote-Extra-"),
    }
}

/// A configuration with a client authority, a front proxy named `front-proxy-client`, and everything
/// allowed.
pub(crate) fn config(pki: &Pki) -> Config {
    Config {
        cluster_name: "c1".into(),
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        tls: pki.serving_tls(),
        authentication: Authentication {
            client_ca_file: Some(pki.path("client-ca.crt")),
            request_header: Some(request_header(
                &pki.path("proxy-ca.crt"),
                &["front-proxy-client"],
            )),
            kubeconfig: Kubeconfig::None,
            skip_lookup: true,
            tolerate_lookup_failure: false,
            token_cache_ttl: Duration::from_secs(10),
            anonymous: true,
        },
        authorization: Authorization::AlwaysAllow,
        store: StoreConfig {
            servers: Vec::new(),
            prefix: "/test".into(),
            ca_file: None,
            cert_file: None,
            key_file: None,
            compaction_interval: Duration::ZERO,
        },
        limits: Limits::default(),
        serve_namespaces: false,
        require_member: false,
        state_dir: None,
        namespace_controllers: Vec::new(),
        garbage_collectors: Vec::new(),
        rules: Rules::default(),
    }
}

/// A server with an echoing registry.
pub(crate) struct Harness {
    pub(crate) running: Running,
    pub(crate) echo: Arc<Echo>,
    pub(crate) pki: Pki,
}

impl Harness {
    pub(crate) async fn start(pki: Pki, config: Config, catalog: Catalog) -> Self {
        helium_tls::install_provider();
        let echo = Arc::new(Echo {
            started: AtomicBool::new(catalog.synced()),
            store_up: AtomicBool::new(true),
            catalog: ArcSwap::from_pointee(catalog),
            elsewhere: ArcSwapOption::empty(),
        });
        let parts = Parts {
            backend: Arc::clone(&echo) as Arc<dyn Backend>,
            catalog: Arc::clone(&echo) as Arc<dyn CatalogSource>,
            health: Health::new(),
            metrics: prometheus_client::registry::Registry::default(),
        };
        let running = Server::start_with(config, parts, CancellationToken::new())
            .await
            .expect("the server starts");
        Self { running, echo, pki }
    }

    /// With everything known and nothing declared.
    pub(crate) async fn plain() -> Self {
        let pki = Pki::new();
        let config = config(&pki);
        Self::start(pki, config, Catalog::new(1, true, Vec::new())).await
    }

    pub(crate) fn client(&self, certificate: Option<&Issued>) -> Client {
        Client::new(&self.pki, self.running.local_addr(), certificate)
    }
}

/// Sends requests, each on a connection of its own.
#[derive(Clone)]
pub(crate) struct Client {
    address: SocketAddr,
    tls: ClientTls,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }
}

impl Client {
    pub(crate) fn new(pki: &Pki, address: SocketAddr, certificate: Option<&Issued>) -> Self {
        let mut files = ClientTlsFiles {
            ca: Some(pki.path("serving-ca.crt")),
            ..ClientTlsFiles::default()
        };
        if let Some(certificate) = certificate {
            let stem = format!("client-{}", rand::random::<u64>());
            let (certificate, key) = certificate
                .save(pki.directory.path(), &stem)
                .expect("saved");
            (files.certificate, files.key) = (Some(certificate), Some(key));
        }
        let tls = ClientTls::load(&files, &["h2"]).expect("a client");
        Self { address, tls }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[]).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(request(Method::GET, path, headers, "")).await
    }

    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.open(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.expect("a whole body").to_bytes();
        Answer {
            code: parts.status.as_u16(),
            headers: parts.headers,
            body,
        }
    }

    /// The answer as soon as its head is there.
    pub(crate) async fn open(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Response<hyper::body::Incoming> {
        let stream = TcpStream::connect(self.address).await.expect("connected");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(self.tls.config())
            .connect(name, stream)
            .await
            .expect("a TLS connection");
        let io = TokioIo::new(stream);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), io)
                .await
                .expect("HTTP/2");
        tokio::spawn(connection);
        sender.send_request(request).await.expect("an answer")
    }
}

pub(crate) fn request(
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder()
        .method(method)
        .uri(format!("https://localhost{path}"));
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder
        .body(Full::new(body.into()))
        .expect("a valid request")
}

/// Whether an answer is a `Status` of that code and reason.
#[track_caller]
pub(crate) fn assert_status(answer: &Answer, code: StatusCode, reason: &str) {
    assert_eq!(answer.code, code.as_u16(), "{}", answer.text());
    let body = answer.json();
    assert_eq!(body["kind"], "Status", "{body}");
    assert_eq!(body["reason"], reason, "{body}");
    assert_eq!(body["code"], code.as_u16(), "{body}");
}
