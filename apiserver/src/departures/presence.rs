//! Looks whether a namespace that the cluster has left is there again, in the cluster's own API.
//!
//! A namespace that is created is a return, whether or not anybody writes shared objects into it. At the beginning all
//! namespaces are looked at: what is there and not going, and was left before the look began, is a return too.

use std::collections::HashSet;
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use helium_telemetry::Chain;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::api::{ListParams, PartialObjectMeta, WatchEvent, WatchParams};
use tokio_util::sync::CancellationToken;

use super::Departures;
use crate::config::Kubeconfig;
use crate::host;

/// Pause after a watch ended.
const PAUSE: Duration = Duration::from_secs(1);
/// Pause after a failure.
const RETRY: Duration = Duration::from_secs(10);

/// Works until cancelled; not at all without a cluster to look at.
pub(super) async fn run(departures: Departures, kubeconfig: Kubeconfig, stop: CancellationToken) {
    let client = match host::client(&kubeconfig).await {
        Ok(Some(client)) => client,
        Ok(None) => return,
        Err(error) => {
            tracing::warn!(
                error = %Chain(&error),
                "can't look at the cluster's namespaces: one that is made again counts as left until it is written into"
            );
            return;
        }
    };
    let namespaces: Api<Namespace> = Api::all(client);
    let work = async {
        let mut failing = false;
        loop {
            let pause = match follow(&departures, &namespaces).await {
                Ok(()) => {
                    failing = false;
                    PAUSE
                }
                Err(error) => {
                    let denied = matches!(&error, kube::Error::Api(status) if status.code == 403);
                    if denied && !failing {
                        tracing::warn!(
                            "not allowed to list and watch the cluster's namespaces: one that is made again counts as left \
                             until it is written into; apply manifests/base/apiserver-rbac.yaml"
                        );
                    }
                    failing |= denied;
                    tracing::debug!(error = %Chain(&error), "looking at the cluster's namespaces failed");
                    RETRY
                }
            };
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Looks at all, then at those that are made. Ends when the watch does.
async fn follow(departures: &Departures, namespaces: &Api<Namespace>) -> Result<(), kube::Error> {
    let shared = &departures.shared;
    if shared.cache.wait_filled(RETRY).await.is_err() {
        // Without its store the server doesn't know what to look for; what it promises meanwhile is in the queue.
        tracing::debug!("looking at the cluster's namespaces before the departures are known");
    }
    let left = shared.left();
    let list = namespaces.list_metadata(&ListParams::default()).await?;
    for namespace in list.items.iter().filter(|namespace| is_there(namespace)) {
        let name = namespace.metadata.name.as_deref().unwrap_or_default();
        if left.contains(name) {
            departures.come_back(name);
        }
    }
    let version = list.metadata.resource_version.unwrap_or_default();
    let stream = namespaces
        .watch_metadata(&WatchParams::default(), &version)
        .await?;
    pin_mut!(stream);
    while let Some(event) = stream.next().await {
        match event? {
            WatchEvent::Added(namespace) if is_there(&namespace) => {
                departures.come_back(namespace.metadata.name.as_deref().unwrap_or_default());
            }
            WatchEvent::Error(_) => return Ok(()),
            _ => {}
        }
    }
    Ok(())
}

fn is_there(namespace: &PartialObjectMeta<Namespace>) -> bool {
    namespace.metadata.deletion_timestamp.is_none()
}

impl super::Shared {
    /// The namespaces that the cluster has left, as far as is known.
    fn left(&self) -> HashSet<String> {
        let recorded = self.cache.snapshot("", None).entries;
        let recorded = recorded.iter().filter_map(|entry| {
            let (namespace, cluster) = entry.key.split_once('/')?;
            (cluster == self.cluster).then(|| namespace.to_owned())
        });
        recorded.chain(self.queue.leaving()).collect()
    }
}
