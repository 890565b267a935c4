//! The Service that APIServices point at, where the agent is told to keep it.
//!
//! By default the installation brings that Service. With `--manage-service` the agent does: either one that selects
//! the helium-apiserver's pods, or one that is a name (`ExternalName`), for a helium-apiserver outside of the cluster.
//! It is repaired when somebody changes it, and made anew when somebody removes it.
//!
//! What it will not do: touch a Service without our label (A2), or remove its own while the agent works;
//! `helium-agent uninstall` does that.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use helium_telemetry::Chain;
use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::core::ObjectMeta;
use kube::runtime::watcher;
use kube::{Api, Client};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::ServiceAddress;
use crate::follow::{self, Follow};
use crate::metrics::Metrics;
use crate::registrar::plan::{self, Change, Managed};
use crate::registrar::{managed_label, owned, write_one};

/// It is looked at again after that long without a change.
const RESYNC: Duration = Duration::from_secs(30);
/// Pause after a write that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Time for one write.
const REQUEST: Duration = Duration::from_secs(5);

/// What the Service leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Backend {
    /// Pods with these labels, at this port: a number, or the name that the pods give to it.
    Pods {
        /// Labels.
        selector: BTreeMap<String, String>,
        /// The pods' port.
        port: String,
    },
    /// A name outside of the cluster.
    Name(String),
}

/// Keeps one Service.
pub(crate) struct Keeper {
    address: ServiceAddress,
    wanted: Service,
    client: Client,
    metrics: Metrics,
    /// What was complained of last.
    complaint: Option<String>,
}

/// The Service as it should be.
fn wanted(address: &ServiceAddress, backend: &Backend) -> Service {
    let spec = match backend {
        Backend::Pods { selector, port } => ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(selector.clone()),
            ports: Some(vec![ServicePort {
                name: Some("https".to_owned()),
                port: address.port.into(),
                protocol: Some("TCP".to_owned()),
                target_port: Some(match port.parse() {
                    Ok(number) => IntOrString::Int(number),
                    Err(_) => IntOrString::String(port.clone()),
                }),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        },
        // An aggregator dials such a name at the APIService's port; the Service needn't name it.
        Backend::Name(name) => ServiceSpec {
            type_: Some("ExternalName".to_owned()),
            external_name: Some(name.clone()),
            ..ServiceSpec::default()
        },
    };
    Service {
        metadata: ObjectMeta {
            name: Some(address.name.clone()),
            namespace: Some(address.namespace.clone()),
            labels: Some(managed_label()),
            ..ObjectMeta::default()
        },
        spec: Some(spec),
        status: None,
    }
}

impl Managed for Service {
    fn metadata(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn metadata_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }

    fn may_be_ours(_name: &str) -> bool {
        true
    }

    fn content_equals(&self, wanted: &Self) -> bool {
        let (Some(held), Some(wanted)) = (&self.spec, &wanted.spec) else {
            return false;
        };
        let ports = |spec: &ServiceSpec| -> Vec<_> {
            let ports = spec.ports.iter().flatten();
            ports
                .map(|port| {
                    (
                        port.name.clone(),
                        port.port,
                        port.protocol.clone(),
                        port.target_port.clone(),
                    )
                })
                .collect()
        };
        // The server fills in the rest: addresses, families, affinity.
        held.type_ == wanted.type_
            && held.external_name == wanted.external_name
            && held.selector.clone().unwrap_or_default()
                == wanted.selector.clone().unwrap_or_default()
            && ports(held) == ports(wanted)
    }

    fn needs_replacement(&self, wanted: &Self) -> bool {
        let (Some(held), Some(wanted)) = (&self.spec, &wanted.spec) else {
            return false;
        };
        // Ports of others stay through an apply, and a type leaves the fields of the former one behind.
        let extra = |port: &ServicePort| {
            let known = wanted.ports.iter().flatten();
            !known
                .into_iter()
                .any(|known| (known.port, &known.protocol) == (port.port, &port.protocol))
        };
        held.type_ != wanted.type_ || held.ports.iter().flatten().any(extra)
    }
}

impl Keeper {
    /// Keeps the Service at `address` leading to `backend`.
    pub(crate) fn new(
        client: Client,
        address: ServiceAddress,
        backend: &Backend,
        metrics: Metrics,
    ) -> Self {
        Self {
            wanted: wanted(&address, backend),
            address,
            client,
            metrics,
            complaint: None,
        }
    }

    /// Works until stopped. May be run again after that.
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        let changed = Arc::new(Notify::new());
        let services = Follow::new("the cluster's Service", Arc::clone(&changed));
        let api: Api<Service> = Api::namespaced(self.client.clone(), &self.address.namespace);
        let one = follow::settings().fields(&format!("metadata.name={}", self.address.name));
        tokio::join!(
            services.run(watcher::watcher(api.clone(), one), stop.clone()),
            self.rounds(&api, &services, &changed, stop),
        );
    }

    async fn rounds(
        &mut self,
        api: &Api<Service>,
        services: &Follow<Service>,
        changed: &Notify,
        stop: &CancellationToken,
    ) {
        let mut next = Instant::now();
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = changed.notified() => {}
                () = tokio::time::sleep_until(next) => {}
            }
            let Some(held) = services.objects() else {
                next = Instant::now() + RESYNC;
                continue;
            };
            let done = tokio::select! {
                () = stop.cancelled() => return,
                done = self.round(api, &held) => done,
            };
            next = Instant::now() + if done { RESYNC } else { RETRY };
        }
    }

    /// One look; returns whether all is as it should be, or somebody else's business.
    async fn round(&mut self, api: &Api<Service>, held: &BTreeMap<String, Arc<Service>>) -> bool {
        let name = self.address.name.clone();
        if held.get(&name).is_some_and(|held| !owned(&held.metadata)) {
            self.complain(format!(
                "Service {} is there without the label app.kubernetes.io/managed-by=helium: it is left alone",
                self.address
            ));
            return true;
        }
        let desired = [(name.clone(), self.wanted.clone())].into();
        for change in plan::changes(&desired, held) {
            let verb = match &change {
                Change::Create(_) => "create",
                Change::Apply(_) => "apply",
                Change::Delete(_) => "delete",
            };
            let done = tokio::time::timeout(REQUEST, write_one(api, &name, change)).await;
            match done.unwrap_or_else(|elapsed| Err(kube::Error::Service(Box::new(elapsed)))) {
                Ok(()) => {
                    info!(kind = "Service", name, verb, "written");
                    self.metrics.written("Service", verb);
                }
                // Somebody was faster: what they did is seen soon, and judged anew.
                Err(kube::Error::Api(status))
                    if status.is_conflict() || status.is_already_exists() => {}
                Err(error) => {
                    self.complain(format!(
                        "writing the Service {}: {}",
                        self.address,
                        Chain(&error)
                    ));
                    return false;
                }
            }
        }
        self.complaint = None;
        true
    }

    fn complain(&mut self, text: String) {
        if self.complaint.as_ref() != Some(&text) {
            warn!("{text}");
            self.complaint = Some(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scripted::{Scripted, refusal};

    fn address() -> ServiceAddress {
        "helium-system/helium-apiserver:443".parse().unwrap()
    }

    fn pods() -> Backend {
        Backend::Pods {
            selector: [("app".to_owned(), "helium".to_owned())].into(),
            port: "https".to_owned(),
        }
    }

    fn stored(backend: &Backend) -> Service {
        let mut service = wanted(&address(), backend);
        service.metadata.uid = Some("1".to_owned());
        service.metadata.resource_version = Some("7".to_owned());
        service.spec.as_mut().unwrap().cluster_ip = Some("10.0.0.7".to_owned());
        service
    }

    async fn writes(held: Option<Service>) -> Vec<String> {
        let server = Scripted::new([(200, serde_json::to_value(stored(&pods())).unwrap())]);
        let mut keeper = Keeper::new(server.client(), address(), &pods(), Metrics::default());
        let api: Api<Service> = Api::namespaced(server.client(), "helium-system");
        let held = held.map(|held| ("helium-apiserver".to_owned(), Arc::new(held)));
        assert!(keeper.round(&api, &held.into_iter().collect()).await);
        server
            .asked()
            .into_iter()
            .map(|asked| asked.method)
            .collect()
    }

    #[tokio::test]
    async fn it_is_made_repaired_and_otherwise_left() {
        assert_eq!(writes(None).await, ["POST"]);
        assert!(writes(Some(stored(&pods()))).await.is_empty());
        let mut drifted = stored(&pods());
        drifted.spec.as_mut().unwrap().selector = Some([("app".to_owned(), "x".to_owned())].into());
        assert_eq!(writes(Some(drifted)).await, ["PATCH"]);
        let mut moved = stored(&pods());
        moved.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].target_port =
            Some(IntOrString::Int(1));
        assert_eq!(writes(Some(moved)).await, ["PATCH"]);
    }

    #[tokio::test]
    async fn what_an_apply_cannot_repair_is_replaced() {
        let name = Backend::Name("elsewhere.example.com".to_owned());
        assert_eq!(writes(Some(stored(&name))).await, ["DELETE"]);
        let mut wider = stored(&pods());
        let more = ServicePort {
            port: 80,
            ..ServicePort::default()
        };
        wider
            .spec
            .as_mut()
            .unwrap()
            .ports
            .as_mut()
            .unwrap()
            .push(more);
        assert_eq!(writes(Some(wider)).await, ["DELETE"]);
    }

    #[tokio::test]
    async fn somebody_elses_is_left_alone() {
        let mut foreign = stored(&Backend::Name("elsewhere.example.com".to_owned()));
        foreign.metadata.labels = None;
        assert!(writes(Some(foreign)).await.is_empty());
    }

    #[tokio::test]
    async fn a_refusal_is_tried_again() {
        let server = Scripted::new([refusal(403, "Forbidden")]);
        let mut keeper = Keeper::new(server.client(), address(), &pods(), Metrics::default());
        let api: Api<Service> = Api::namespaced(server.client(), "helium-system");
        assert!(!keeper.round(&api, &BTreeMap::new()).await);
        assert!(
            keeper
                .complaint
                .unwrap()
                .contains("helium-system/helium-apiserver:443")
        );
    }

    #[test]
    fn a_name_and_a_numbered_port_are_written_as_such() {
        let name = wanted(&address(), &Backend::Name("h.example.com".to_owned()));
        let spec = serde_json::to_value(name.spec).unwrap();
        assert_eq!(
            spec,
            json!({"type": "ExternalName", "externalName": "h.example.com"})
        );
        let mut pods = pods();
        let Backend::Pods { port, .. } = &mut pods else {
            unreachable!()
        };
        *port = "8443".to_owned();
        let spec = serde_json::to_value(wanted(&address(), &pods).spec).unwrap();
        assert_eq!(spec["ports"][0]["targetPort"], 8443);
    }
}
