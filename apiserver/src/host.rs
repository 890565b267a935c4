//! The kube-apiserver of the cluster that this instance serves: where reviews are asked.

use std::future::Future;
use std::time::Duration;

use kube::Client;
use kube::config::{KubeConfigOptions, Kubeconfig as KubeconfigFile};
use rand::Rng;

use crate::config::Kubeconfig;

/// First pause between two attempts of a review.
const RETRY_FIRST: Duration = Duration::from_millis(500);
/// Factor between one pause and the next.
const RETRY_FACTOR: f64 = 1.5;
/// Attempts of a review, as in the library that other aggregated servers use.
const RETRY_ATTEMPTS: u32 = 5;
/// Time for a review with all its attempts.
pub(crate) const REVIEW_TIMEOUT: Duration = Duration::from_secs(10);

/// Why the host cluster's API can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The kubeconfig can't be read or is incomplete.
    #[error("reading the kubeconfig {path}")]
    Kubeconfig {
        /// The file.
        path: String,
        /// What is wrong with it.
        #[source]
        source: Box<kube::config::KubeconfigError>,
    },
    /// There is no usable service account in this pod.
    #[error("reading the pod's service account")]
    InCluster(#[source] Box<kube::config::InClusterError>),
    /// The client can't be built, for example because of a bad certificate.
    #[error("building the client of the host cluster's API")]
    Client(#[source] Box<kube::Error>),
}

/// A client for the host cluster, or `None` when none is configured.
///
/// # Errors
/// [`HostError`] when the configuration can't be read. Nothing is dialled yet.
pub(crate) async fn client(kubeconfig: &Kubeconfig) -> Result<Option<Client>, HostError> {
    let mut config = match kubeconfig {
        Kubeconfig::None => return Ok(None),
        Kubeconfig::InCluster => {
            kube::Config::incluster().map_err(|source| HostError::InCluster(Box::new(source)))?
        }
        Kubeconfig::File(path) => {
            let failed = |source| HostError::Kubeconfig {
                path: path.display().to_string(),
                source: Box::new(source),
            };
            let file = KubeconfigFile::read_from(path).map_err(failed)?;
            kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
                .await
                .map_err(failed)?
        }
    };
    // A watch of one ConfigMap is silent for long; everything else is bounded by its caller.
    config.read_timeout = None;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config)
        .map(Some)
        .map_err(|source| HostError::Client(Box::new(source)))
}

/// Asks again, with growing pauses, while the host cluster answers with something that may pass.
///
/// # Errors
/// The last error when attempts or time are used up, or the first that won't pass.
pub(crate) async fn with_retries<T, F>(mut ask: impl FnMut() -> F) -> Result<T, kube::Error>
where
    F: Future<Output = Result<T, kube::Error>>,
{
    let deadline = tokio::time::Instant::now() + REVIEW_TIMEOUT;
    let mut pause = RETRY_FIRST;
    let mut attempt = 1;
    loop {
        let error = match tokio::time::timeout_at(deadline, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => error,
            Err(elapsed) => return Err(kube::Error::Service(Box::new(elapsed))),
        };
        let jittered = pause.mul_f64(rand::rng().random_range(1.0..1.2));
        let late = tokio::time::Instant::now() + jittered >= deadline;
        if attempt == RETRY_ATTEMPTS || late || !may_pass(&error) {
            return Err(error);
        }
        tokio::time::sleep(jittered).await;
        pause = pause.mul_f64(RETRY_FACTOR);
        attempt += 1;
    }
}

/// Whether an error may be gone at the next attempt.
fn may_pass(error: &kube::Error) -> bool {
    match error {
        kube::Error::Api(status) => status.code == 429 || status.code >= 500,
        kube::Error::HyperError(_) | kube::Error::Service(_) => true,
        _ => false,
    }
}
