//! `helium leases`: who leads what, since when, from where.
//!
//! Read from the shared group through the cluster that the kubeconfig names, so it answers the same in all of them. What a
//! lease says of time was written by its holder's clock; whether it has run out is judged by this machine's, and so is only as
//! good as both agree. Nothing here decides anything.

use jiff::{SignedDuration, Timestamp};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, ListParams};
use serde::Serialize;
use serde_json::Value;

use crate::connection::Connection;
use crate::error::{Error, Result};
use crate::options::{LeasesOptions, OutputFormat};
use crate::table::{self, ago};

const GROUP: &str = "coordination.helium.dev";
const TOKEN: &str = "helium.dev/fencing-token";
const ORIGIN: &str = "helium.dev/origin-cluster";

/// What is known of one lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    namespace: String,
    name: String,
    /// Who leads; empty if nobody does.
    holder: String,
    /// The cluster through which the holder wrote last.
    cluster: String,
    /// Fencing token of the term.
    token: String,
    /// When the term began.
    acquired: Option<Timestamp>,
    /// When the holder last renewed it.
    renewed: Option<Timestamp>,
    state: State,
}

/// Whether somebody leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum State {
    /// Somebody does.
    Held,
    /// Somebody did, and hasn't renewed it in time.
    Expired,
    /// Nobody does.
    Free,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Expired => "expired",
            Self::Free => "free",
        }
    }
}

/// Prints the leases.
pub(crate) async fn run(options: LeasesOptions) -> Result<()> {
    let client = Connection::open(&options.access).await?.client();
    let kind = GroupVersionKind::gvk(GROUP, "v1", "Lease");
    let resource = ApiResource::from_gvk_with_plural(&kind, "leases");
    let api: Api<DynamicObject> = match &options.namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource),
        None => Api::all_with(client, &resource),
    };
    let list = api.list(&ListParams::default()).await;
    let leases = list.map_err(|source| Error::Cluster {
        source: Box::new(source),
    })?;
    let now = Timestamp::now();
    let mut rows: Vec<Row> = leases.iter().map(|lease| row(lease, now)).collect();
    rows.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    let text = match options.output {
        // Texts and numbers only: it can't fail to serialise.
        OutputFormat::Json => serde_json::to_string(&rows).unwrap_or_default() + "\n",
        OutputFormat::Text if rows.is_empty() => {
            eprintln!("no leases");
            return Ok(());
        }
        OutputFormat::Text => table(&rows, now),
    };
    table::print(&text);
    Ok(())
}

fn row(lease: &DynamicObject, now: Timestamp) -> Row {
    let spec = &lease.data["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let time = |name: &str| spec[name].as_str().and_then(|text| text.parse().ok());
    let annotation = |name: &str| {
        let annotations = lease.metadata.annotations.as_ref();
        let value = annotations.and_then(|annotations| annotations.get(name));
        value.cloned().unwrap_or_default()
    };
    let (acquired, renewed) = (time("acquireTime"), time("renewTime"));
    let holder = text(&spec["holderIdentity"]);
    let state = if holder.is_empty() {
        State::Free
    } else if runs_out(renewed, spec["leaseDurationSeconds"].as_i64()).is_some_and(|end| end < now)
    {
        State::Expired
    } else {
        State::Held
    };
    Row {
        namespace: lease.metadata.namespace.clone().unwrap_or_default(),
        name: lease.metadata.name.clone().unwrap_or_default(),
        cluster: annotation(ORIGIN),
        token: annotation(TOKEN),
        holder,
        acquired,
        renewed,
        state,
    }
}

fn runs_out(renewed: Option<Timestamp>, seconds: Option<i64>) -> Option<Timestamp> {
    renewed?
        .checked_add(SignedDuration::from_secs(seconds?))
        .ok()
}

fn table(rows: &[Row], now: Timestamp) -> String {
    let head = [
        "NAMESPACE",
        "NAME",
        "HOLDER",
        "CLUSTER",
        "TOKEN",
        "SINCE",
        "RENEWED",
        "STATE",
    ];
    let cells = rows.iter().map(|row| {
        [
            row.namespace.clone(),
            row.name.clone(),
            row.holder.clone(),
            row.cluster.clone(),
            row.token.clone(),
            ago(row.acquired, now),
            ago(row.renewed, now),
            row.state.as_str().to_owned(),
        ]
    });
    table::render(head, cells)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lease(spec: Value) -> DynamicObject {
        serde_json::from_value(json!({
            "apiVersion": "coordination.helium.dev/v1",
            "kind": "Lease",
            "metadata": {"name": "leader", "namespace": "default", "annotations": {TOKEN: "42", ORIGIN: "oslo"}},
            "spec": spec,
        }))
        .expect("an object")
    }

    #[test]
    fn a_lease_is_held_until_it_has_not_been_renewed_in_time() {
        let now: Timestamp = "2026-01-01T00:01:00Z".parse().expect("a time");
        let held = |renewed: &str| {
            let spec = json!({
                "holderIdentity": "a", "leaseDurationSeconds": 15,
                "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": renewed,
            });
            row(&lease(spec), now).state
        };
        assert_eq!(held("2026-01-01T00:00:50.000000Z"), State::Held);
        assert_eq!(held("2026-01-01T00:00:40.000000Z"), State::Expired);
        assert_eq!(row(&lease(json!({})), now).state, State::Free);
        assert_eq!(
            row(&lease(json!({"holderIdentity": "a"})), now).state,
            State::Held
        );
    }

    #[test]
    fn people_get_a_table() {
        let now: Timestamp = "2026-01-01T03:05:00Z".parse().expect("a time");
        let spec = json!({
            "holderIdentity": "manager", "leaseDurationSeconds": 15,
            "acquireTime": "2026-01-01T00:00:00.000000Z", "renewTime": "2026-01-01T03:04:57.000000Z",
        });
        let rows = [row(&lease(spec), now), row(&lease(json!({})), now)];
        assert_eq!(
            table(&rows, now),
            "NAMESPACE   NAME     HOLDER    CLUSTER   TOKEN   SINCE   RENEWED   STATE\n\
             default     leader   manager   oslo      42      3h5m    3s        held\n\
             default     leader   -         oslo      42      -       -         free\n"
        );
    }
}
