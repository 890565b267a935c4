//! Connections to the store's endpoints.
//!
//! One HTTP/2 connection per endpoint, made when first used and again whenever it broke. Calls go to
//! one endpoint until it fails; then to the next, so that all servers of a fleet don't move at once for
//! nothing, and one that went away costs one failed call.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use helium_telemetry::Chain;
use helium_tls::{ClientTls, ClientTlsFiles};
use http::Uri;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};
use url::Url;

use super::error::{Error, Refusal, Result};
use crate::config::StoreConfig;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// etcd drops clients that ping more often than every five seconds; kube-apiserver pings every 30.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Large enough that a page of objects needs no round trip for window updates.
const WINDOW: u32 = 4 << 20;

pub(super) struct Endpoints {
    channels: Vec<Channel>,
    current: AtomicUsize,
    /// Whether the last call got no answer from anybody.
    silent: AtomicBool,
    /// Why the store doesn't let this cluster in, if it doesn't.
    shut_out: watch::Sender<Option<Refusal>>,
}

impl Endpoints {
    pub(super) fn open(config: &StoreConfig) -> Result<Self> {
        if config.servers.is_empty() {
            return Err(Error::Config {
                reason: "no endpoint is given".to_owned(),
            });
        }
        let tls = load_tls(config)?;
        let channels = config
            .servers
            .iter()
            .map(|server| channel(server, tls.as_ref()))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            channels,
            current: AtomicUsize::new(0),
            silent: AtomicBool::new(false),
            shut_out: watch::Sender::new(None),
        })
    }

    /// The endpoint to use now, and its number for [`Endpoints::failed`].
    pub(super) fn pick(&self) -> (usize, Channel) {
        let at = self.current.load(Ordering::Relaxed) % self.channels.len();
        (at, self.channels[at].clone())
    }

    /// Moves on from an endpoint, unless somebody else did already.
    pub(super) fn failed(&self, at: usize) {
        let next = (at + 1) % self.channels.len();
        // Losing this race means that another call moved on: as good.
        let _ = self
            .current
            .compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Notes how a call ended. The log tells when the store falls silent and when it is back, once each,
    /// and not for every request that failed in between.
    pub(super) fn note(&self, error: Option<&Error>) {
        self.note_admission(error);
        match error {
            Some(error) if error.is_transient() => {
                if !self.silent.swap(true, Ordering::Relaxed) {
                    tracing::warn!(error = %Chain(error), "the shared store doesn't answer");
                }
            }
            // A refusal is an answer.
            _ => {
                if self.silent.load(Ordering::Relaxed) && self.silent.swap(false, Ordering::Relaxed)
                {
                    tracing::info!("the shared store answers again");
                }
            }
        }
    }

    /// Notes whether the store lets this cluster in, as far as an answer tells.
    pub(super) fn note_admission(&self, error: Option<&Error>) {
        let now = match error {
            Some(Error::NotAdmitted(refusal)) => Some(refusal),
            // Whoever is silent says nothing about it.
            Some(error) if error.is_transient() => return,
            _ => None,
        };
        if self.shut_out.borrow().as_ref() != now {
            self.shut_out.send_replace(now.cloned());
        }
    }

    /// Tells why the store doesn't let this cluster in, if it doesn't.
    pub(super) fn shut_out(&self) -> watch::Receiver<Option<Refusal>> {
        self.shut_out.subscribe()
    }

    /// Whether the last call got no answer from anybody.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }

    /// How often a call may be tried: every endpoint once, and the first again, whose connection may only
    /// have been stale.
    pub(super) fn attempts(&self) -> usize {
        self.channels.len() + 1
    }
}

fn load_tls(config: &StoreConfig) -> Result<Option<ClientTls>> {
    if !config
        .servers
        .iter()
        .any(|server| server.scheme() == "https")
    {
        return Ok(None);
    }
    let files = ClientTlsFiles {
        ca: config.ca_file.clone(),
        certificate: config.cert_file.clone(),
        key: config.key_file.clone(),
    };
    ClientTls::load(&files, &["h2"])
        .map(Some)
        .map_err(Error::Tls)
}

fn channel(server: &Url, tls: Option<&ClientTls>) -> Result<Channel> {
    let refuse = |reason: &str| Error::Config {
        reason: format!("{server}: {reason}"),
    };
    let host = server
        .host_str()
        .ok_or_else(|| refuse("no host"))?
        .to_owned();
    let port = server.port().unwrap_or(2379);
    let secure = match server.scheme() {
        "https" => true,
        "http" => false,
        _ => return Err(refuse("the scheme must be http or https")),
    };
    // The URI that requests carry; where the bytes really go is the connector's business.
    let endpoint = Endpoint::from_shared(format!("http://{host}:{port}"))
        .map_err(|_| refuse("not a usable address"))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .tcp_nodelay(true);
    match tls {
        Some(tls) if secure => {
            let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                .map_err(|_| refuse("not a name that a certificate can have"))?;
            Ok(secure_channel(
                &endpoint,
                tls,
                name,
                format!("{host}:{port}"),
            ))
        }
        _ => Ok(endpoint.connect_lazy()),
    }
}

fn secure_channel(
    endpoint: &Endpoint,
    tls: &ClientTls,
    name: ServerName<'static>,
    address: String,
) -> Channel {
    let connector = TlsConnector::from(tls.config());
    let address: Arc<str> = address.into();
    endpoint.connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
        let (connector, name, address) = (connector.clone(), name.clone(), Arc::clone(&address));
        async move {
            let tcp = TcpStream::connect(&*address).await?;
            tcp.set_nodelay(true)?;
            let stream = connector.connect(name, tcp).await?;
            Ok::<_, io::Error>(TokioIo::new(stream))
        }
    }))
}
