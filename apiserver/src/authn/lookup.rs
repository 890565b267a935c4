//! Where the authorities come from: files, and a ConfigMap of the host cluster. Both are followed.
//!
//! Flags win: what a flag gave is never replaced by the ConfigMap.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use futures_util::{StreamExt, pin_mut};
use helium_telemetry::Chain;
use helium_tls::ClientCas;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::request_header::HeaderNames;
use super::{CLIENT_CA, REQUEST_HEADER_CA, SetupError};

const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// How often files are read again. Secret mounts swap symlinks, which file events miss.
const FILE_POLL: Duration = Duration::from_secs(10);
/// Pause after a watch ended or failed.
const WATCH_PAUSE: Duration = Duration::from_secs(2);
/// Time for the first lookup.
const FIRST_LOOKUP: Duration = Duration::from_secs(10);

/// Reads every bundle once.
pub(super) fn load_files(
    cas: &ClientCas,
    files: &[(&'static str, PathBuf)],
) -> Result<(), SetupError> {
    for (bundle, path) in files {
        let shown = path.display().to_string();
        let pem = std::fs::read(path).map_err(|source| SetupError::Read {
            path: shown.clone(),
            source,
        })?;
        cas.set(bundle, &pem)
            .map_err(|source| SetupError::Authorities {
                path: shown,
                source: Box::new(source),
            })?;
    }
    Ok(())
}

/// Reads the bundles again from time to time; a bad file leaves the last good bundle in place.
pub(super) async fn follow_files(
    cas: Arc<ClientCas>,
    files: Vec<(&'static str, PathBuf)>,
    shutdown: CancellationToken,
) {
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(FILE_POLL) => {}
        }
        for (bundle, path) in &files {
            let path_shown = path.display();
            match tokio::fs::read(path).await {
                Ok(pem) => match cas.set(bundle, &pem) {
                    Ok(true) => {
                        info!(bundle, path = %path_shown, "certificate authorities replaced")
                    }
                    Ok(false) => {}
                    Err(error) => warn!(
                        bundle, path = %path_shown, error = %Chain(&error),
                        "new certificate authorities are unusable, keeping the last good ones"
                    ),
                },
                Err(error) => {
                    warn!(bundle, path = %path_shown, %error, "can't read certificate authorities")
                }
            }
        }
    }
}

/// Follows `kube-system/extension-apiserver-authentication`.
pub(super) struct Lookup {
    pub(super) client: Client,
    pub(super) cas: Arc<ClientCas>,
    pub(super) proxy: Arc<ArcSwapOption<HeaderNames>>,
    pub(super) client_ca_from_flag: bool,
    pub(super) proxy_from_flags: bool,
}

impl Lookup {
    /// Looks up once, then follows. A tolerated failure is made good by the follower.
    pub(super) async fn start(
        self,
        tolerate_failure: bool,
        tracker: &TaskTracker,
        shutdown: &CancellationToken,
    ) -> Result<(), SetupError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), NAMESPACE);
        let first = tokio::time::timeout(FIRST_LOOKUP, api.get(NAME)).await;
        let first = first.unwrap_or_else(|late| Err(kube::Error::Service(Box::new(late))));
        match first {
            Ok(map) => self.adopt(&map),
            // Everything that the ConfigMap could say was said by flags.
            Err(_) if self.client_ca_from_flag && self.proxy_from_flags => {}
            Err(error) if tolerate_failure => warn!(
                error = %Chain(&error),
                "authentication lookup failed; front-proxy requests are refused until it succeeds"
            ),
            Err(error) => return Err(SetupError::Lookup(Box::new(error))),
        }
        let shutdown = shutdown.clone();
        tracker.spawn(async move {
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = self.follow(api) => {}
            }
        });
        Ok(())
    }

    async fn follow(self, api: Api<ConfigMap>) {
        let params = WatchParams::default()
            .fields(&format!("metadata.name={NAME}"))
            .timeout(290);
        loop {
            // From revision 0 the current object comes first, so no change is missed between watches.
            match api.watch(&params, "0").await {
                Ok(events) => {
                    pin_mut!(events);
                    while let Some(event) = events.next().await {
                        match event {
                            Ok(WatchEvent::Added(map) | WatchEvent::Modified(map)) => {
                                self.adopt(&map)
                            }
                            Ok(WatchEvent::Error(_)) | Err(_) => break,
                            Ok(_) => {}
                        }
                    }
                }
                Err(error) => {
                    warn!(error = %Chain(&error), "watching the authentication settings failed");
                }
            }
            tokio::time::sleep(WATCH_PAUSE).await;
        }
    }

    fn adopt(&self, map: &ConfigMap) {
        let Some(data) = &map.data else { return };
        let set = |bundle: &'static str, key: &str| match data.get(key) {
            None => false,
            Some(pem) => match self.cas.set(bundle, pem.as_bytes()) {
                Ok(changed) => {
                    if changed {
                        info!(
                            bundle,
                            "certificate authorities taken from the host cluster"
                        );
                    }
                    true
                }
                Err(error) => {
                    warn!(
                        bundle, error = %Chain(&error),
                        "the host cluster's certificate authorities are unusable"
                    );
                    false
                }
            },
        };
        if !self.client_ca_from_flag {
            set(CLIENT_CA, "client-ca-file");
        }
        if self.proxy_from_flags || !set(REQUEST_HEADER_CA, "requestheader-client-ca-file") {
            return;
        }
        let list = |key: &str| {
            data.get(key)
                .map_or_else(|| Ok(Vec::new()), |text| string_list(text))
        };
        let names = (|| {
            Ok::<_, serde_json::Error>(HeaderNames::new(
                &list("requestheader-allowed-names")?,
                &list("requestheader-username-headers")?,
                &list("requestheader-uid-headers")?,
                &list("requestheader-group-headers")?,
                &list("requestheader-extra-headers-prefix")?,
            ))
        })();
        match names {
            Ok(names) => self.proxy.store(Some(Arc::new(names))),
            // An unreadable list must not become the empty list, which would allow every name.
            Err(error) => warn!(%error, "the host cluster's front-proxy settings are unusable"),
        }
    }
}

fn string_list(text: &str) -> Result<Vec<String>, serde_json::Error> {
    if text.trim().is_empty() {
        Ok(Vec::new())
    } else {
        serde_json::from_str(text)
    }
}
