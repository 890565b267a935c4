//! Clients for the two API servers that an agent stands between.

use std::path::PathBuf;
use std::time::Duration;

use helium_telemetry::Chain;
use http::Uri;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::follow::WATCH_SECONDS;

/// Time to dial a server.
const CONNECT: Duration = Duration::from_secs(5);
/// Longest silence of a server that was asked; longer than that of a watch without changes.
const SILENCE: Duration = Duration::from_secs(WATCH_SECONDS as u64 + 10);
/// Pause between two looks at credentials that can't be used.
const CREDENTIALS_RETRY: Duration = Duration::from_secs(2);
/// How often files are looked at.
const FILES_CHECK: Duration = Duration::from_secs(5);
/// Namespace of an agent that runs outside of its cluster.
pub(crate) const DEFAULT_NAMESPACE: &str = "helium-system";

/// How an API server is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Endpoint {
    /// With the pod's service account.
    InCluster,
    /// With the current context of a kubeconfig.
    Kubeconfig(PathBuf),
    /// With a URL and files.
    Direct(Direct),
}

/// An API server by URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Direct {
    /// Its URL.
    pub(crate) url: Uri,
    /// PEM bundle of the authorities that its certificate may be from; it is read again when it changes.
    pub(crate) ca_file: PathBuf,
    /// Our certificate and its key.
    pub(crate) certificate: Option<(PathBuf, PathBuf)>,
    /// A file with a bearer token; it is read again before it is too old.
    pub(crate) token_file: Option<PathBuf>,
}

/// Why an API server can't be reached at all.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndpointError {
    /// The kubeconfig can't be read or is incomplete.
    #[error("reading the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// There is no usable service account in this pod.
    #[error("reading the pod's service account; outside of a cluster give --kubeconfig")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    /// A file can't be read.
    #[error("reading {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        #[source]
        source: std::io::Error,
    },
    /// The bundle of authorities holds no certificate.
    #[error("reading the control plane's authorities")]
    Authorities(#[source] Box<helium_tls::Error>),
    /// The client can't be built, for example because of a bad certificate.
    #[error("building the client of {url}")]
    Client {
        /// The server.
        url: String,
        /// What is wrong.
        #[source]
        source: Box<kube::Error>,
    },
}

impl Endpoint {
    /// A client, and the namespace that the configuration names. Nothing is dialled yet.
    ///
    /// # Errors
    /// [`EndpointError`] when the configuration can't be used.
    pub(crate) async fn client(&self) -> Result<(Client, Option<String>), EndpointError> {
        let (mut config, namespace) = match self {
            Self::InCluster => {
                let config = Config::incluster()
                    .map_err(|source| EndpointError::InCluster(Box::new(source)))?;
                let namespace = config.default_namespace.clone();
                (config, Some(namespace))
            }
            Self::Kubeconfig(path) => {
                let failed = |source| EndpointError::Kubeconfig {
                    path: path.clone(),
                    source: Box::new(source),
                };
                let file = Kubeconfig::read_from(path).map_err(failed)?;
                let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                    .await
                    .map_err(failed)?;
                (config, None)
            }
            Self::Direct(direct) => (direct.config().await?, None),
        };
        config.connect_timeout = Some(CONNECT);
        config.read_timeout = Some(SILENCE);
        // Counted from the request, not from when its connection was used last.
        config.reset_reader_on_write = true;
        // Who asks decides whether to ask again.
        config.default_retry = false;
        let url = config.cluster_url.to_string();
        let client = Client::try_from(config).map_err(|source| EndpointError::Client {
            url,
            source: Box::new(source),
        })?;
        Ok((client, namespace))
    }
}

impl Endpoint {
    /// Runs `work` with a client until stopped: anew, with another client, each time the credentials change. What is
    /// passed to `work` beside the client tells it when to end.
    pub(crate) async fn sessions(
        &self,
        stop: &CancellationToken,
        mut work: impl AsyncFnMut(Client, CancellationToken),
    ) {
        while !stop.is_cancelled() {
            match self.client().await {
                Ok((client, _)) => {
                    let session = stop.child_token();
                    let renewal = async {
                        tokio::select! {
                            () = session.cancelled() => {}
                            () = self.changed() => {
                                info!("the credentials for the control plane have changed");
                                session.cancel();
                            }
                        }
                    };
                    tokio::join!(renewal, work(client, session.clone()));
                }
                // They were good at the start: somebody is replacing them.
                Err(error) => {
                    warn!(error = %Chain(&error), "the credentials for the control plane can't be used");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(CREDENTIALS_RETRY) => {}
                    }
                }
            }
        }
    }

    /// Waits until a file that says who we are, or whom to trust, is another one than at the call: a client holds
    /// what it read when it was built.
    pub(crate) async fn changed(&self) {
        let first = self.read().await;
        loop {
            tokio::time::sleep(FILES_CHECK).await;
            let now = self.read().await;
            // A file that is missing is being replaced.
            if now != first && now.iter().all(Option::is_some) {
                return;
            }
        }
    }

    async fn read(&self) -> Vec<Option<Vec<u8>>> {
        let files: Vec<&PathBuf> = match self {
            // Tokens and authorities are followed by the client itself.
            Self::InCluster => Vec::new(),
            Self::Kubeconfig(path) => vec![path],
            Self::Direct(direct) => direct
                .certificate
                .iter()
                .flat_map(|(certificate, key)| [certificate, key])
                .collect(),
        };
        let mut contents = Vec::with_capacity(files.len());
        for file in files {
            contents.push(tokio::fs::read(file).await.ok());
        }
        contents
    }
}

impl Direct {
    async fn config(&self) -> Result<Config, EndpointError> {
        let bundle =
            tokio::fs::read(&self.ca_file)
                .await
                .map_err(|source| EndpointError::File {
                    path: self.ca_file.clone(),
                    source,
                })?;
        let origin = self.ca_file.display().to_string();
        let authorities = helium_tls::certificates_from_pem(&bundle, &origin)
            .map_err(|source| EndpointError::Authorities(Box::new(source)))?;
        let text = |path: &PathBuf| path.display().to_string();
        let mut config = Config::new(self.url.clone());
        config.root_cert = Some(authorities.iter().map(|der| der.to_vec()).collect());
        config.root_cert_file = Some(self.ca_file.clone());
        config.auth_info = AuthInfo {
            client_certificate: self.certificate.as_ref().map(|(path, _)| text(path)),
            client_key: self.certificate.as_ref().map(|(_, path)| text(path)),
            token_file: self.token_file.as_ref().map(text),
            ..AuthInfo::default()
        };
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_new_certificate_is_noticed_when_it_is_complete() {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = (dir.path().join("tls.crt"), dir.path().join("tls.key"));
        std::fs::write(&certificate, "one").unwrap();
        std::fs::write(&key, "one").unwrap();
        let endpoint = Endpoint::Direct(Direct {
            url: Uri::from_static("https://localhost"),
            ca_file: dir.path().join("ca.crt"),
            certificate: Some((certificate.clone(), key.clone())),
            token_file: None,
        });
        let changed = endpoint.changed();
        tokio::pin!(changed);
        let bound = FILES_CHECK * 3;
        assert!(tokio::time::timeout(bound, &mut changed).await.is_err());
        std::fs::remove_file(&certificate).unwrap();
        assert!(tokio::time::timeout(bound, &mut changed).await.is_err());
        std::fs::write(&certificate, "two").unwrap();
        assert!(tokio::time::timeout(bound, &mut changed).await.is_ok());
    }
}
