//! A stand-in for the host cluster's kube-apiserver: TokenReview, SubjectAccessReview and one ConfigMap,
//! over HTTPS. The real one is exercised end to end elsewhere.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Query, State};
use axum::http::{Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::StreamExt;
use helium_tls::{ClientAuth, ClientCas, ServerTls, ServerTlsFiles};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tower::ServiceExt;

use crate::support::Pki;

/// What the stand-in answers and what it was asked.
pub(crate) struct Facts {
    /// The ConfigMap's `data`; changes reach those who watch.
    settings: watch::Sender<Option<Value>>,
    /// Codes to answer reviews with before answering properly.
    pub(crate) failures: Mutex<Vec<u16>>,
    /// Resources that nobody may touch.
    pub(crate) denied: Mutex<Vec<String>>,
    pub(crate) token_reviews: AtomicUsize,
    pub(crate) access_reviews: Mutex<Vec<Value>>,
}

pub(crate) struct Host {
    pub(crate) facts: Arc<Facts>,
    pub(crate) kubeconfig: PathBuf,
    _guard: DropGuard,
}

impl Host {
    pub(crate) async fn start(pki: &Pki) -> Self {
        helium_tls::install_provider();
        let facts = Arc::new(Facts {
            settings: watch::Sender::new(None),
            failures: Mutex::default(),
            denied: Mutex::default(),
            token_reviews: AtomicUsize::new(0),
            access_reviews: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let files = ServerTlsFiles {
            certificate: pki.path("server.crt"),
            key: pki.path("server.key"),
        };
        let cas = Arc::new(ClientCas::new());
        let tls = ServerTls::load(files, cas, ClientAuth::None, &["http/1.1"]).expect("TLS");
        let shutdown = CancellationToken::new();
        let router = Router::new()
            .route(
                "/apis/authentication.k8s.io/v1/tokenreviews",
                post(token_review),
            )
            .route(
                "/apis/authorization.k8s.io/v1/subjectaccessreviews",
                post(access_review),
            )
            .route(
                "/api/v1/namespaces/kube-system/configmaps",
                get(watch_settings),
            )
            .route(
                "/api/v1/namespaces/kube-system/configmaps/{name}",
                get(read_settings),
            )
            .with_state(Arc::clone(&facts));
        tokio::spawn(serve(
            listener,
            TlsAcceptor::from(tls.config()),
            router,
            shutdown.clone(),
        ));
        let kubeconfig = pki.path("kubeconfig");
        let text = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "host",
            "contexts": [{"name": "host", "context": {"cluster": "host", "user": "us"}}],
            "clusters": [{"name": "host", "cluster": {
                "server": format!("https://localhost:{port}"),
                "certificate-authority": pki.path("serving-ca.crt"),
            }}],
            "users": [{"name": "us", "user": {"token": "ours"}}],
        });
        std::fs::write(&kubeconfig, text.to_string()).expect("written");
        Self {
            facts,
            kubeconfig,
            _guard: shutdown.drop_guard(),
        }
    }

    /// Sets the ConfigMap with the front proxy's settings.
    pub(crate) fn set_settings(&self, data: Value) {
        self.facts.settings.send_replace(Some(data));
    }

    pub(crate) fn token_reviews(&self) -> usize {
        self.facts.token_reviews.load(Ordering::SeqCst)
    }

    pub(crate) fn access_reviews(&self) -> Vec<Value> {
        self.facts.access_reviews.lock().clone()
    }
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    router: Router,
    shutdown: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = shutdown.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, _) = accepted.expect("a connection");
        let (tls, router, shutdown) = (tls.clone(), router.clone(), shutdown.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else {
                return;
            };
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                router.clone().oneshot(request.map(axum::body::Body::new))
            });
            let builder = Builder::new(TokioExecutor::new());
            tokio::select! {
                _ = builder.serve_connection(TokioIo::new(stream), service) => {}
                () = shutdown.cancelled() => {}
            }
        });
    }
}

fn failure(facts: &Facts) -> Option<Response> {
    let code = facts.failures.lock().pop()?;
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": "as asked", "reason": "InternalError", "code": code,
    });
    let code = StatusCode::from_u16(code).expect("a code");
    Some((code, Json(status)).into_response())
}

/// Accepts the tokens `good-<user>`.
async fn token_review(State(facts): State<Arc<Facts>>, Json(mut review): Json<Value>) -> Response {
    facts.token_reviews.fetch_add(1, Ordering::SeqCst);
    if let Some(failure) = failure(&facts) {
        return failure;
    }
    let token = review["spec"]["token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    review["status"] = match token.strip_prefix("good-") {
        Some(user) => json!({
            "authenticated": true,
            "user": {"username": user, "uid": "u-1", "groups": ["dev"], "extra": {"k": ["v"]}},
        }),
        None => json!({"authenticated": false, "error": "unknown token"}),
    };
    (StatusCode::CREATED, Json(review)).into_response()
}

/// Allows everything to the group `dev` but deletion.
async fn access_review(State(facts): State<Arc<Facts>>, Json(mut review): Json<Value>) -> Response {
    facts.access_reviews.lock().push(review["spec"].clone());
    if let Some(failure) = failure(&facts) {
        return failure;
    }
    let spec = &review["spec"];
    let dev = spec["groups"]
        .as_array()
        .is_some_and(|groups| groups.contains(&json!("dev")));
    let attributes = &spec["resourceAttributes"];
    let denied = facts.denied.lock();
    let keeper = spec["user"] == "keeper" && attributes["verb"] == "administer";
    let refused = keeper
        || attributes["verb"] == "delete"
        || denied.iter().any(|one| attributes["resource"] == **one);
    review["status"] = json!({"allowed": dev && !refused, "reason": "as the stand-in says"});
    (StatusCode::CREATED, Json(review)).into_response()
}

fn config_map(data: &Value) -> Value {
    json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {
            "name": "extension-apiserver-authentication", "namespace": "kube-system",
            "resourceVersion": "1",
        },
        "data": data,
    })
}

async fn read_settings(State(facts): State<Arc<Facts>>) -> Response {
    let settings = facts.settings.borrow().clone();
    match settings {
        Some(data) => Json(config_map(&data)).into_response(),
        None => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "not found", "reason": "NotFound", "code": 404,
            });
            (StatusCode::NOT_FOUND, Json(status)).into_response()
        }
    }
}

async fn watch_settings(
    State(facts): State<Arc<Facts>>,
    Query(query): Query<Vec<(String, String)>>,
) -> Response {
    let wanted = |name: &str, value: &str| query.iter().any(|(n, v)| n == name && v == value);
    assert!(wanted("watch", "true"));
    assert!(wanted(
        "fieldSelector",
        "metadata.name=extension-apiserver-authentication"
    ));
    let mut settings = facts.settings.subscribe();
    settings.mark_changed();
    let events = futures_util::stream::unfold(settings, |mut settings| async move {
        settings.changed().await.ok()?;
        let data = settings.borrow_and_update().clone();
        let line = data.map(|data| {
            let event = json!({"type": "MODIFIED", "object": config_map(&data)});
            format!("{event}\n")
        });
        Some((line.unwrap_or_default(), settings))
    });
    let lines = events.map(Ok::<_, std::convert::Infallible>);
    axum::body::Body::from_stream(lines).into_response()
}
