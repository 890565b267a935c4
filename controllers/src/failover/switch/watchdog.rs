//! `helium-agent watchdog`: runs beside a payload's containers and says whether they may go on.
//!
//! `/healthz` answers 200 while the term is alive and 503 else. `/gate` answers 200 or breaks the connection: that is what a
//! kubelet takes for a failed `postStart` hook. Looks at the Lease and answers to the kubelet don't wait for each other; all on one thread.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use helium_failover::Token;
use helium_telemetry::Chain;
use helium_telemetry::logging::{self, Format};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::SignedDuration;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::judge::{Judge, Verdict};
use super::record::Record;
use super::{DEFAULT_PORT, PROBE};
use crate::endpoint::{Endpoint, EndpointError};
use crate::failover::clock;

/// The kubelet and a person or two; who comes beyond that waits.
const CONNECTIONS: usize = 32;
/// A connection is for one short question.
const CONNECTION: Duration = Duration::from_secs(10);
/// Shortest and longest pause between two looks.
const PERIOD: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(1));

/// Runs beside the containers of a payload's pod, and fails their probes when the term that they run in may be over.
#[derive(Debug, Args)]
pub(crate) struct Watchdog {
    /// Lease in the cluster that the agent renews while the term is alive.
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = lease, env = "HELIUM_WATCHDOG_LEASE")]
    lease: (String, String),
    /// Token of the term.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..), env = "HELIUM_WATCHDOG_TOKEN")]
    token: i64,
    /// For how long the term counts as alive without news, such as 14850ms.
    #[arg(long, value_name = "DURATION", value_parser = after, env = "HELIUM_WATCHDOG_AFTER")]
    after: Duration,
    /// Where the kubelet asks (/healthz, /gate; no TLS).
    #[arg(long, default_value_t = SocketAddr::from(([0_u16; 8], DEFAULT_PORT)), env = "HELIUM_WATCHDOG_ADDRESS")]
    address: SocketAddr,
    /// Kubeconfig of the cluster; the pod's service account by default.
    #[arg(long, env = "HELIUM_WATCHDOG_KUBECONFIG")]
    kubeconfig: Option<PathBuf>,
    /// Format of the log: plain or json.
    #[arg(long, default_value_t = Format::Plain, env = "HELIUM_WATCHDOG_LOG_FORMAT")]
    log_format: Format,
    /// What is logged, as level or target=level,…; RUST_LOG has precedence.
    #[arg(
        long,
        default_value = "info,kube_client=off",
        env = "HELIUM_WATCHDOG_LOG"
    )]
    log: String,
}

/// Why a watchdog can't work. Its pod's containers don't begin, or are ended (W3).
#[derive(Debug, thiserror::Error)]
pub(crate) enum WatchdogError {
    /// The log can't be set up.
    #[error("setting up the log")]
    Log(#[from] logging::Error),
    /// The process can't be set up.
    #[error("setting up the process")]
    Process(#[source] std::io::Error),
    /// The cluster can't be asked.
    #[error("reaching the cluster")]
    Endpoint(#[from] EndpointError),
    /// The address is taken or isn't this machine's.
    #[error("listening on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
}

fn lease(text: &str) -> Result<(String, String), String> {
    match text.split_once('/') {
        Some((namespace, name)) if !namespace.is_empty() && !name.is_empty() => {
            Ok((namespace.to_owned(), name.to_owned()))
        }
        _ => Err("write namespace/name".to_owned()),
    }
}

fn after(text: &str) -> Result<Duration, String> {
    let duration: SignedDuration = text
        .parse()
        .map_err(|_error| format!("{text:?} is no duration: write 14850ms or 15s"))?;
    match Duration::try_from(duration) {
        Ok(after) if (PROBE / 2..=PROBE * 3600).contains(&after) => Ok(after),
        _ => Err("write 500ms to 1h".to_owned()),
    }
}

/// Runs the watchdog until it is told to stop.
pub(crate) fn main(flags: Watchdog) -> Result<(), WatchdogError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(WatchdogError::Process)?;
    runtime.block_on(run(flags))
}

async fn run(flags: Watchdog) -> Result<(), WatchdogError> {
    let Watchdog {
        lease: (namespace, name),
        token,
        after,
        address,
        kubeconfig,
        log_format,
        log,
    } = flags;
    logging::start(log_format, &log)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(WatchdogError::Process)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(WatchdogError::Process)?;
    let endpoint = kubeconfig.map_or(Endpoint::InCluster, Endpoint::Kubeconfig);
    let (client, _) = endpoint.client().await?;
    let listener = listen(address).await?;
    info!(%namespace, name, token, after_ms = after.as_millis(), "watching");
    let judge = Arc::new(Mutex::new(Judge::new(Token(token), after)));
    let looks = Looks {
        api: Api::namespaced(client, &namespace),
        name,
        judge: judge.clone(),
        period: (after / 15).clamp(PERIOD.0, PERIOD.1),
        patience: (after / 3).min(Duration::from_secs(5)),
    };
    let stop = CancellationToken::new();
    let signalled = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        stop.cancel();
    };
    tokio::join!(signalled, looks.run(&stop), serve(listener, judge, &stop));
    info!("stopped");
    Ok(())
}

/// The unspecified IPv6 address means both families; a kernel without IPv6 has the other one.
async fn listen(address: SocketAddr) -> Result<TcpListener, WatchdogError> {
    let failed = |source| WatchdogError::Listen { address, source };
    match TcpListener::bind(address).await {
        Err(_) if address.ip() == SocketAddr::from(([0_u16; 8], 0)).ip() => {
            TcpListener::bind(SocketAddr::from(([0, 0, 0, 0], address.port())))
                .await
                .map_err(failed)
        }
        bound => bound.map_err(failed),
    }
}

/// Looks at the Lease, again and again.
struct Looks {
    api: Api<Lease>,
    name: String,
    judge: Arc<Mutex<Judge>>,
    period: Duration,
    patience: Duration,
}

impl Looks {
    async fn run(self, stop: &CancellationToken) {
        let mut last = Verdict::Unseen;
        let mut failing = false;
        loop {
            // The time before the question: what the answer doesn't show was not there then.
            let asked = clock::now();
            let look = tokio::time::timeout(self.patience, self.api.get_opt(&self.name));
            let found = tokio::select! {
                () = stop.cancelled() => return,
                found = look => found,
            };
            let problem = match found {
                Ok(Ok(found)) => {
                    let record = found.as_ref().and_then(Record::read);
                    self.judge.lock().see(asked, record);
                    failing = false;
                    None
                }
                Ok(Err(error)) => Some(Chain(&error).to_string()),
                Err(_elapsed) => Some("no answer in time".to_owned()),
            };
            if let Some(error) = problem {
                if std::mem::replace(&mut failing, true) {
                    debug!(error, "reading the lease failed");
                } else {
                    warn!(error, "reading the lease failed; trying on");
                }
            }
            let verdict = self.judge.lock().verdict(clock::now());
            if verdict != last {
                info!(%verdict, "changed");
                last = verdict;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.period) => {}
            }
        }
    }
}

async fn serve(listener: TcpListener, judge: Arc<Mutex<Judge>>, stop: &CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        while connections.len() >= CONNECTIONS {
            connections.join_next().await;
        }
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            _ended = connections.join_next(), if !connections.is_empty() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(answer(stream, judge.clone()));
            }
            // Too many open files, or a client that is gone already.
            Err(error) => {
                debug!(%error, "accepting a connection failed");
                tokio::time::sleep(PERIOD.0).await;
            }
        }
    }
    connections.shutdown().await;
}

/// A gate that stays closed: there is no answer.
#[derive(Debug, thiserror::Error)]
#[error("the gate is closed")]
struct Closed;

async fn answer(stream: TcpStream, judge: Arc<Mutex<Judge>>) {
    let service = service_fn(async |request: Request<Incoming>| {
        let verdict = judge.lock().verdict(clock::now());
        let alive = verdict == Verdict::Alive;
        let (status, text) = match request.uri().path() {
            "/gate" if !alive => return Err(Closed),
            "/gate" | "/healthz" if alive => (StatusCode::OK, verdict.to_string()),
            "/healthz" => (StatusCode::SERVICE_UNAVAILABLE, verdict.to_string()),
            _ => (StatusCode::NOT_FOUND, "ask for /healthz".to_owned()),
        };
        let mut response = Response::new(Full::new(Bytes::from(text + "\n")));
        *response.status_mut() = status;
        Ok(response)
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service);
    // A client that breaks off, or is too slow, is its own matter.
    let _done = tokio::time::timeout(CONNECTION, connection).await;
}
