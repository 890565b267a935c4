//! Certificates: ours, and what decides whose are accepted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helium_tls::{
    ClientAuth, ClientCas, PeerTls, ServerJudge, ServerTls, ServerTlsFiles, certificates_from_file,
};
use prometheus_client::registry::Registry;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::gate::{Gate, GateMetrics, OpenFleet, PeerAuthorities};
use crate::replica::LinkTls;

/// TLS for clients and for links between instances.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// PEM chain.
    pub certificate: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// PEM bundle of the authorities of client certificates, which are then required. With
    /// `members_prefix` it counts while the fleet is open.
    pub client_ca: Option<PathBuf>,
    /// Where the fleet's members are in the store. From the first that lists an authority on only
    /// members may connect.
    pub members_prefix: Option<String>,
    /// Links to other instances.
    pub peer: PeerConfig,
}

/// How links to other instances identify themselves, and whom they trust.
#[derive(Debug, Clone, Default)]
pub struct PeerConfig {
    /// PEM chain that other instances are shown; the one for clients if there is none.
    pub certificate: Option<PathBuf>,
    /// Its PEM private key.
    pub key: Option<PathBuf>,
    /// PEM bundle of the authorities of other instances. With `members_prefix` it counts while the
    /// fleet is open.
    pub ca: Option<PathBuf>,
}

impl TlsConfig {
    /// A certificate for clients, who need none themselves.
    #[must_use]
    pub fn new(certificate: PathBuf, key: PathBuf) -> Self {
        Self {
            certificate,
            key,
            client_ca: None,
            members_prefix: None,
            peer: PeerConfig::default(),
        }
    }
}

/// Pause between two looks at the certificates' files.
const CERTIFICATE_PERIOD: Duration = Duration::from_secs(10);

/// The protocols of the client port.
const PROTOCOLS: [&str; 2] = ["h2", "http/1.1"];

/// Everything that a server needs to speak TLS.
pub(crate) struct Tls {
    /// For the client port.
    pub(crate) clients: ServerTls,
    /// For the second address, which has nothing of the store.
    pub(crate) metrics: ServerTls,
    /// Decides who may connect, by the members below a prefix.
    pub(crate) gate: Option<(Arc<Gate>, String)>,
    peers: Option<PeerTls>,
}

impl Tls {
    /// Loads all files.
    pub(crate) fn load(config: &TlsConfig, registry: &mut Registry) -> helium_tls::Result<Self> {
        let files = || ServerTlsFiles {
            certificate: config.certificate.clone(),
            key: config.key.clone(),
        };
        let by_file = || -> helium_tls::Result<ServerTls> {
            let (cas, auth) = match &config.client_ca {
                Some(path) => (client_cas(path)?, ClientAuth::Require),
                None => (ClientCas::new(), ClientAuth::None),
            };
            ServerTls::load(files(), Arc::new(cas), auth, &PROTOCOLS)
        };
        let peer_ca = config.peer.ca.as_deref().map(server_verifier).transpose()?;
        let gate = match &config.members_prefix {
            Some(prefix) => {
                let open = OpenFleet {
                    clients: config.client_ca.as_deref().map(client_cas).transpose()?,
                    servers: peer_ca.clone(),
                };
                let gate = Gate::new(open, GateMetrics::register(registry));
                Some((gate, prefix.clone()))
            }
            None => None,
        };
        let clients = match &gate {
            Some((gate, _)) => ServerTls::load_judged(files(), Arc::clone(gate) as _, &PROTOCOLS)?,
            None => by_file()?,
        };
        let judge = match (&gate, peer_ca) {
            (Some((gate, _)), _) => Some(Arc::clone(gate) as Arc<dyn ServerJudge>),
            (None, Some(ca)) => Some(Arc::new(PeerAuthorities(ca)) as Arc<dyn ServerJudge>),
            (None, None) => None,
        };
        let peers = match judge {
            Some(judge) => {
                let own = config.peer.certificate.clone().zip(config.peer.key.clone());
                let own = own.map_or_else(files, |(certificate, key)| ServerTlsFiles {
                    certificate,
                    key,
                });
                Some(PeerTls::load(own, judge, &["h2"])?)
            }
            None => None,
        };
        Ok(Self {
            clients,
            metrics: by_file()?,
            gate,
            peers,
        })
    }

    /// How the replica dials other instances.
    pub(crate) fn links(&self) -> Option<LinkTls> {
        Some(LinkTls {
            config: self.peers.as_ref()?.config(),
            changes: self.gate.as_ref().map(|(gate, _)| gate.changes()),
        })
    }

    /// Takes new certificates from their files until `stop`.
    pub(crate) fn keep_fresh(&self, tasks: &TaskTracker, stop: &CancellationToken) {
        for server in [&self.clients, &self.metrics] {
            let (server, stop) = (server.clone(), stop.clone());
            tasks.spawn(server.keep_fresh(CERTIFICATE_PERIOD, stop));
        }
        if let Some(peers) = &self.peers {
            let (peers, stop) = (peers.clone(), stop.clone());
            tasks.spawn(peers.keep_fresh(CERTIFICATE_PERIOD, stop));
        }
    }
}

fn client_cas(path: &Path) -> helium_tls::Result<ClientCas> {
    let pem = std::fs::read(path).map_err(|source| helium_tls::Error::File {
        path: path.to_owned(),
        source,
    })?;
    let cas = ClientCas::new();
    cas.set(&path.display().to_string(), &pem)?;
    Ok(cas)
}

fn server_verifier(path: &Path) -> helium_tls::Result<Arc<dyn ServerCertVerifier>> {
    let origin = || path.display().to_string();
    let mut roots = RootCertStore::empty();
    for certificate in certificates_from_file(path)? {
        roots
            .add(certificate)
            .map_err(|source| helium_tls::Error::Authority {
                origin: origin(),
                source,
            })?;
    }
    let builder =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), helium_tls::provider());
    let verifier = builder
        .build()
        .map_err(|source| helium_tls::Error::Verifier {
            origin: origin(),
            source,
        })?;
    Ok(verifier)
}
