//! The cluster's heartbeat: a Lease of the fleet that it renews while it is well.

use std::time::Duration;

use jiff::Timestamp;
use kube::api::PostParams;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client};
use serde_json::{Value, json};

use super::FIELD_MANAGER;
use crate::ClusterName;

/// Namespace of all heartbeats, the same in every cluster.
pub(super) const NAMESPACE: &str = "helium-system";
/// Label of heartbeats; its value is the cluster.
pub(super) const LABEL: &str = "helium.dev/member";
/// How often a heartbeat is renewed.
pub(super) const INTERVAL: Duration = Duration::from_secs(5);
/// How long it holds.
pub(super) const DURATION: Duration = Duration::from_secs(15);

/// Name of a cluster's heartbeat.
pub(super) fn lease_name(cluster: &str) -> String {
    format!("member-{cluster}")
}

/// All heartbeats.
pub(super) fn api(fleet: Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("coordination.helium.dev", "v1", "Lease");
    let resource = ApiResource::from_gvk_with_plural(&kind, "leases");
    Api::namespaced_with(fleet, NAMESPACE, &resource)
}

/// What a renewal came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Beat {
    /// It is in the store.
    Renewed,
    /// There is no lease; it may be made, if the cluster is a member still.
    Missing,
    /// Somebody else wrote the lease meanwhile; it is read anew with the next renewal.
    Lost,
}

/// Renews one cluster's heartbeat.
pub(super) struct Heartbeat {
    api: Api<DynamicObject>,
    cluster: String,
    /// The lease as it is in the store, as far as we know.
    held: Option<DynamicObject>,
}

impl Heartbeat {
    pub(super) fn new(fleet: Client, cluster: &ClusterName) -> Self {
        Self {
            api: api(fleet),
            cluster: cluster.as_str().to_owned(),
            held: None,
        }
    }

    /// Renews the lease, if there is one. A renewal leaves holder and time of acquisition alone, so that it is the
    /// same term, whichever agent of the cluster renews it.
    pub(super) async fn renew(&mut self, now: Timestamp) -> Result<Beat, kube::Error> {
        let name = lease_name(&self.cluster);
        let held = match self.held.take() {
            Some(held) => held,
            None => match self.api.get_opt(&name).await? {
                Some(found) => found,
                None => return Ok(Beat::Missing),
            },
        };
        let lease = self.renewed(held, now);
        match self.api.replace(&name, &parameters(), &lease).await {
            Ok(held) => {
                self.held = Some(held);
                Ok(Beat::Renewed)
            }
            Err(kube::Error::Api(status)) if status.is_not_found() => Ok(Beat::Missing),
            Err(kube::Error::Api(status)) if status.is_conflict() => Ok(Beat::Lost),
            Err(error) => Err(error),
        }
    }

    /// Makes the lease.
    pub(super) async fn create(&mut self, now: Timestamp) -> Result<Beat, kube::Error> {
        let name = lease_name(&self.cluster);
        let lease = DynamicObject::new(&name, &self.resource());
        let lease = self.renewed(lease.within(NAMESPACE), now);
        match self.api.create(&parameters(), &lease).await {
            Ok(held) => {
                self.held = Some(held);
                Ok(Beat::Renewed)
            }
            Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(Beat::Lost),
            Err(error) => Err(error),
        }
    }

    fn resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk("coordination.helium.dev", "v1", "Lease");
        ApiResource::from_gvk_with_plural(&kind, "leases")
    }

    fn renewed(&self, mut lease: DynamicObject, now: Timestamp) -> DynamicObject {
        let time = Value::from(now.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string());
        let labels = lease.metadata.labels.get_or_insert_default();
        labels.insert(LABEL.to_owned(), self.cluster.clone());
        if !lease.data.is_object() {
            lease.data = json!({});
        }
        let spec = &mut lease.data["spec"];
        if spec["holderIdentity"] != self.cluster.as_str() {
            *spec =
                json!({"holderIdentity": self.cluster, "acquireTime": time, "leaseTransitions": 0});
        }
        spec["leaseDurationSeconds"] = DURATION.as_secs().into();
        spec["renewTime"] = time;
        lease
    }
}

fn parameters() -> PostParams {
    PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Scripted, refusal};

    fn lease(version: &str, spec: Value) -> (u16, Value) {
        let lease = json!({"apiVersion": "coordination.helium.dev/v1", "kind": "Lease", "spec": spec,
            "metadata": {"name": "member-east", "namespace": "helium-system", "resourceVersion": version}});
        (200, lease)
    }

    fn heartbeat(server: &Scripted) -> Heartbeat {
        Heartbeat::new(server.client(), &"east".parse().unwrap())
    }

    #[tokio::test]
    async fn a_renewal_is_one_write_and_the_same_term() {
        let spec = json!({"holderIdentity": "east", "acquireTime": "2026-01-01T00:00:00.000000Z", "leaseTransitions": 4});
        let server = Scripted::new([
            lease("7", spec.clone()),
            lease("8", spec.clone()),
            lease("9", spec),
        ]);
        let mut heartbeat = heartbeat(&server);
        for second in [0, 5] {
            let now = Timestamp::from_second(second).unwrap();
            assert_eq!(heartbeat.renew(now).await.unwrap(), Beat::Renewed);
        }
        let asked = server.asked();
        let methods: Vec<_> = asked.iter().map(|asked| asked.method.as_str()).collect();
        assert_eq!(methods, ["GET", "PUT", "PUT"]);
        let last = &asked[2].body;
        assert_eq!(last["metadata"]["resourceVersion"], "8");
        assert_eq!(last["metadata"]["labels"][LABEL], "east");
        assert_eq!(last["spec"]["acquireTime"], "2026-01-01T00:00:00.000000Z");
        assert_eq!(last["spec"]["leaseTransitions"], 4);
        assert_eq!(last["spec"]["renewTime"], "1970-01-01T00:00:05.000000Z");
        assert_eq!(last["spec"]["leaseDurationSeconds"], 15);
    }

    #[tokio::test]
    async fn a_lease_that_is_not_there_is_told_and_not_made_unasked() {
        let server = Scripted::new([refusal(404, "NotFound")]);
        let mut heartbeat = heartbeat(&server);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(heartbeat.renew(now).await.unwrap(), Beat::Missing);
        assert_eq!(server.asked().len(), 1);
        let server = Scripted::new([lease("1", Value::Null), refusal(404, "NotFound")]);
        let mut heartbeat = self::heartbeat(&server);
        assert_eq!(heartbeat.create(now).await.unwrap(), Beat::Renewed);
        let made = &server.asked()[0];
        assert_eq!(
            made.path,
            "/apis/coordination.helium.dev/v1/namespaces/helium-system/leases"
        );
        assert_eq!(made.body["spec"]["holderIdentity"], "east");
        // It is removed, as it is when the cluster leaves.
        assert_eq!(heartbeat.renew(now).await.unwrap(), Beat::Missing);
    }

    #[tokio::test]
    async fn after_a_conflict_the_lease_is_read_again() {
        let spec = json!({"holderIdentity": "somebody"});
        let server = Scripted::new([
            lease("1", spec.clone()),
            refusal(409, "Conflict"),
            lease("2", spec.clone()),
            lease("3", spec),
        ]);
        let mut heartbeat = heartbeat(&server);
        let now = Timestamp::UNIX_EPOCH;
        assert_eq!(heartbeat.renew(now).await.unwrap(), Beat::Lost);
        assert_eq!(heartbeat.renew(now).await.unwrap(), Beat::Renewed);
        let last = &server.asked()[3].body;
        assert_eq!(last["metadata"]["resourceVersion"], "2");
        assert_eq!(last["spec"]["holderIdentity"], "east");
        assert_eq!(last["spec"]["acquireTime"], "1970-01-01T00:00:00.000000Z");
    }
}
