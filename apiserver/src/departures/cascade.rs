//! The policy *Cascade*: objects go when every member has left their namespace.
//!
//! Every server looks, so that it doesn't matter which of them lives; what they do is conditional, so that it doesn't
//! matter how many do it. A look is a read of members, departures and objects at one revision (N1). It comes a moment
//! after the last departure: a namespace that is deleted and made again at once, in all clusters, loses nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use helium_apimachinery::GroupResource;
use helium_apimachinery::meta::Object;
use helium_telemetry::Chain;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Departures, Shared};
use crate::definitions::builtin::{HELIUM_GROUP, MEMBERS};
use crate::definitions::{NamespaceDeletion, Resource, remove_stored};
use crate::members::{Members, Roster};
use crate::origin::ORIGIN;
use crate::storage::{Alongside, Record, Result, Store, codec};

/// Time between the last departure and the deletion.
const GRACE: Duration = Duration::from_secs(5);
/// Pause after a look that failed.
const RETRY: Duration = Duration::from_secs(2);
/// Records that are read at once.
const PAGE: i64 = 500;

/// Tells which kinds are served now, for whoever outlives a catalog.
pub type KindsSource = Box<dyn Fn() -> Vec<Arc<Resource>> + Send + Sync>;

/// Deletes what the policy lets go.
pub struct Cascade {
    departures: Departures,
    members: Members,
    kinds: KindsSource,
    catalog_changes: watch::Receiver<u64>,
    /// What was looked at, and needs no second look as it is.
    settled: HashMap<String, View>,
    /// Since when a namespace's last departure has been known.
    since: HashMap<String, (i64, Instant)>,
}

/// All that a look depends on, as far as it is known without reading: departures by cluster, active members, kinds.
type View = (BTreeMap<String, i64>, Vec<String>, Vec<String>);

/// What became of a look.
enum Outcome {
    /// There is nothing to do until something changes.
    Settled,
    /// Somebody came back meanwhile.
    Overtaken,
}

impl Cascade {
    /// Looks at what `departures` knows.
    #[must_use]
    pub fn new(
        departures: Departures,
        members: Members,
        kinds: KindsSource,
        catalog_changes: watch::Receiver<u64>,
    ) -> Self {
        Self {
            departures,
            members,
            kinds,
            catalog_changes,
            settled: HashMap::new(),
            since: HashMap::new(),
        }
    }

    /// Works until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut records = self.departures.shared.cache.changes();
        let mut roster = self.members.changes();
        let mut catalog = self.catalog_changes.clone();
        loop {
            records.borrow_and_update();
            roster.borrow_and_update();
            catalog.borrow_and_update();
            let next = tokio::select! {
                () = stop.cancelled() => return,
                next = self.round() => next,
            };
            let again = next.unwrap_or(Instant::now());
            tokio::select! {
                () = stop.cancelled() => return,
                Ok(()) = records.changed() => {}
                Ok(()) = roster.changed() => {}
                Ok(()) = catalog.changed() => {}
                () = tokio::time::sleep_until(again), if next.is_some() => {}
            }
        }
    }

    /// Looks at every namespace whose time has come; tells when the next one's has.
    async fn round(&mut self) -> Option<Instant> {
        let kinds: Vec<_> = (self.kinds)()
            .into_iter()
            .filter(|kind| cascades(kind))
            .collect();
        let names: Vec<_> = kinds.iter().map(|kind| named(kind).to_string()).collect();
        let members: Vec<String> = self.members.roster().active().map(str::to_owned).collect();
        let by_namespace = self.departures.shared.by_namespace();
        self.since
            .retain(|namespace, _| by_namespace.contains_key(namespace));
        self.settled
            .retain(|namespace, _| by_namespace.contains_key(namespace));
        let mut next: Option<Instant> = None;
        for (namespace, departed) in by_namespace {
            let all_left = members.iter().all(|member| departed.contains_key(member));
            if members.is_empty() || kinds.is_empty() || !all_left {
                continue;
            }
            let last = departed.values().copied().max().unwrap_or_default();
            let now = Instant::now();
            let since = self.since.entry(namespace.clone()).or_insert((last, now));
            if since.0 != last {
                *since = (last, now);
            }
            let due = since.1 + GRACE;
            if now < due {
                next = Some(next.map_or(due, |other| other.min(due)));
                continue;
            }
            let view = (departed, members.clone(), names.clone());
            if self.settled.get(&namespace) == Some(&view) {
                continue;
            }
            match self.departures.shared.look(&namespace, &kinds).await {
                Ok(Outcome::Settled) => {
                    self.settled.insert(namespace, view);
                }
                // The change that overtook us brings us back, or already has.
                Ok(Outcome::Overtaken) => {}
                Err(error) => {
                    tracing::debug!(namespace, error = %Chain(&error), "a departure can't be settled yet");
                    let again = Instant::now() + RETRY;
                    next = Some(next.map_or(again, |other| other.min(again)));
                }
            }
        }
        next
    }
}

impl Shared {
    /// The departures that are known: their revisions by namespace and cluster.
    fn by_namespace(&self) -> BTreeMap<String, BTreeMap<String, i64>> {
        let mut all: BTreeMap<String, BTreeMap<String, i64>> = BTreeMap::new();
        for entry in self.cache.snapshot("", None).entries {
            if let Some((namespace, cluster)) = entry.key.split_once('/') {
                let clusters = all.entry(namespace.to_owned()).or_default();
                clusters.insert(cluster.to_owned(), entry.revision);
            }
        }
        all
    }

    /// Deletes what was left behind in a namespace, if all have really left it (N1, N2).
    async fn look(&self, namespace: &str, kinds: &[Arc<Resource>]) -> Result<Outcome> {
        let keys = self.store.keys();
        // Everything is read as of the revision of this first read.
        let members = keys.resource(HELIUM_GROUP, MEMBERS, None);
        let (members, at) = read_all(&self.store, members.as_str(), 0).await?;
        let objects: Vec<Object> = decoded(&members);
        let roster = Roster::new(&objects, at);
        let scope = self.cache.prefix().key(&format!("{namespace}/"));
        let (records, _) = read_all(&self.store, &scope, at).await?;
        let departed: HashMap<String, i64> = records
            .iter()
            .filter_map(|record| {
                let key = std::str::from_utf8(&record.key).ok()?;
                Some((key.strip_prefix(&scope)?.to_owned(), record.revision))
            })
            .collect();
        let mut active = roster.active().peekable();
        if active.peek().is_none() {
            return Ok(Outcome::Settled);
        }
        let mut last = 0;
        for member in active {
            let Some(left) = departed.get(member) else {
                return Ok(Outcome::Overtaken);
            };
            last = last.max(*left);
        }
        let returns = keys.returns();
        let (withdrawn, _) = read_all(&self.store, &returns, at).await?;
        let returned = withdrawn
            .iter()
            .find(|record| record.key == returns.as_bytes())
            .map_or(0, |record| record.revision);

        let mut due = Vec::new();
        for kind in kinds {
            let prefix = keys.resource(&kind.home_group, kind.plural(), None);
            let (records, _) =
                read_all(&self.store, &prefix.key(&format!("{namespace}/")), at).await?;
            if let Some(cluster) = records
                .iter()
                .find_map(|record| writer_since(record, &departed))
            {
                tracing::info!(
                    namespace,
                    cluster,
                    "a cluster writes into a namespace that it has left: its objects stay"
                );
                return Ok(Outcome::Settled);
            }
            let old = records.into_iter().filter(|record| record.revision <= last);
            due.extend(old.map(|record| (named(kind), record)));
        }
        let along = Alongside {
            guard: Some((returns, returned)),
            ..Alongside::default()
        };
        let count = due.len();
        for (resource, record) in &due {
            if !remove_stored(&self.store, resource, record, &along).await? {
                return Ok(Outcome::Overtaken);
            }
        }
        if count > 0 {
            tracing::info!(
                namespace,
                objects = count,
                "every member has left a namespace; deleted what it held"
            );
        }
        Ok(Outcome::Settled)
    }
}

/// A cluster that wrote an object after it had left, going by the object itself. What is being deleted tells nothing.
fn writer_since(record: &Record, departed: &HashMap<String, i64>) -> Option<String> {
    let object = codec::decode(record).ok()?;
    if object.is_terminating() {
        return None;
    }
    let origin = object.annotation(ORIGIN)?;
    let left = departed.get(origin)?;
    (record.revision > *left).then(|| origin.to_owned())
}

fn cascades(kind: &Resource) -> bool {
    kind.sharing.namespace_deletion == NamespaceDeletion::Cascade
        && kind.definition.scope.is_namespaced()
        && kind.group() == kind.home_group
}

fn named(kind: &Resource) -> GroupResource {
    GroupResource::new(kind.group(), kind.plural())
}

fn decoded(records: &[Record]) -> Vec<Object> {
    let objects = records.iter().map(codec::decode);
    objects.filter_map(std::result::Result::ok).collect()
}

/// All records of a scope at a revision (0 = now), and that revision.
async fn read_all(store: &Store, scope: &str, mut revision: i64) -> Result<(Vec<Record>, i64)> {
    let mut all = Vec::new();
    let mut start: Option<Vec<u8>> = None;
    loop {
        let page = store.page(scope, start.as_deref(), PAGE, revision).await?;
        revision = page.revision;
        start = page
            .records
            .last()
            .map(|record| [&record.key[..], b"\0"].concat());
        all.extend(page.records);
        if page.remaining == 0 {
            return Ok((all, revision));
        }
    }
}
