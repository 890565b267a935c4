//! Follows the definitions: writes their status, publishes the catalog, cleans up behind deleted ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use helium_apimachinery::crd::Definition;
use helium_apimachinery::meta::Object;
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::admit::{is_established, without_sharing};
use super::catalog::{Exposure, Resource, Special};
use super::cleanup;
use super::conditions::{self, Candidate};
use super::last_known::LastKnown;
use super::sharing::Sharing;
use super::writers::Writers;
use crate::cache::{Cache, Entry, Snapshot};
use crate::storage::{Store, codec};

/// Takes each new set of resources, and the revision of which it is the whole truth; `None` if it is only remembered.
pub type Publish = Box<dyn Fn(Vec<Arc<Resource>>, Option<i64>) + Send + Sync>;

/// How often everything is looked at again, without a change: for cleanups that wait for finalizers.
const RECHECK: Duration = Duration::from_secs(1);
/// How long a terminating definition's objects are watched to be gone at least, so that servers that learn late
/// of the deletion have learnt of it.
const SETTLE: Duration = Duration::from_secs(2);

/// Derives status and catalog from the definitions.
pub struct Controller {
    store: Store,
    cache: Cache,
    builtins: Vec<Arc<Resource>>,
    publish: Publish,
    last_known: Option<LastKnown>,
    /// Parsed definitions by uid and generation.
    parsed: HashMap<String, Option<Arc<Resource>>>,
    /// Since when terminating definitions have been seen so, by uid.
    terminating: HashMap<String, Instant>,
}

impl Controller {
    /// A controller on top of the definitions' cache.
    #[must_use]
    pub fn new(
        store: Store,
        cache: Cache,
        builtins: Vec<Arc<Resource>>,
        publish: Publish,
        last_known: Option<LastKnown>,
    ) -> Self {
        Self {
            store,
            cache,
            builtins,
            publish,
            last_known,
            parsed: HashMap::new(),
            terminating: HashMap::new(),
        }
    }

    /// Publishes what an earlier start knew, if anything: until the store has been read. Blocks.
    pub fn recall(&self) {
        let Some(definitions) = self.last_known.as_ref().and_then(LastKnown::read) else {
            return;
        };
        let remembered = definitions
            .iter()
            .filter(|object| is_established(object))
            .filter_map(|object| {
                let terminating = object.meta("deletionTimestamp").is_some();
                let resource = resource(object, &fingerprint(object))?;
                Some(with_terminating(resource, terminating))
            });
        let all = self.builtins.iter().cloned().chain(remembered).collect();
        (self.publish)(all, None);
        tracing::info!(
            definitions = definitions.len(),
            "serving the documents of the last known definitions until the store has been read"
        );
    }

    /// Works until cancelled.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut changed = self.cache.changes();
        loop {
            changed.borrow_and_update();
            if self.cache.is_filled() {
                let work = self.round();
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = work => {}
                }
            }
            let recheck = !self.terminating.is_empty();
            tokio::select! {
                () = stop.cancelled() => return,
                // The sender lives as long as the cache that we hold.
                _ = changed.changed() => {}
                () = tokio::time::sleep(RECHECK), if recheck => {}
            }
        }
    }

    async fn round(&mut self) {
        let Snapshot { entries, revision } = self.cache.snapshot("", None);
        let resources = self.parse(&entries);
        let established: Vec<_> = entries
            .iter()
            .zip(&resources)
            .filter(|(entry, _)| is_established(&entry.object))
            .filter_map(|(_, resource)| resource.clone())
            .collect();
        let all = self.builtins.iter().cloned().chain(established).collect();
        (self.publish)(all, Some(revision));
        if let Some(last_known) = &mut self.last_known {
            last_known.keep(&entries).await;
        }

        self.write_statuses(&entries, &resources).await;
        self.clean_up(&entries, &resources).await;
    }

    /// The resource of each definition; `None` where what is stored is no valid definition.
    fn parse(&mut self, entries: &[Arc<Entry>]) -> Vec<Option<Arc<Resource>>> {
        let mut parsed = HashMap::with_capacity(entries.len());
        let mut resources = Vec::with_capacity(entries.len());
        for entry in entries {
            let fingerprint = fingerprint(&entry.object);
            let known = self.parsed.get(&fingerprint).cloned();
            let resource = known.unwrap_or_else(|| resource(&entry.object, &fingerprint));
            parsed.insert(fingerprint, resource.clone());
            let terminating = entry.object.meta("deletionTimestamp").is_some();
            resources.push(resource.map(|resource| with_terminating(resource, terminating)));
        }
        self.parsed = parsed;
        resources
    }

    async fn write_statuses(&self, entries: &[Arc<Entry>], resources: &[Option<Arc<Resource>>]) {
        let (judged, candidates): (Vec<_>, Vec<_>) = entries
            .iter()
            .zip(resources)
            .filter_map(|(entry, resource)| {
                let definition = &resource.as_ref()?.definition;
                Some((
                    entry,
                    Candidate {
                        object: &entry.object,
                        definition,
                    },
                ))
            })
            .unzip();
        let statuses = conditions::evaluate(&candidates, Timestamp::now());
        for (entry, status) in judged.into_iter().zip(statuses) {
            let Some(status) = status else { continue };
            let mut object = entry.object.clone();
            object.set("status", status);
            let key = self.cache.prefix().key(&entry.key);
            let value = codec::encode(&object);
            // A conflict means that the definition changed or that another server was faster: the change
            // that made it brings us back here.
            if let Err(error) = self.store.update(&key, entry.revision, value).await {
                tracing::debug!(definition = entry.key, %error, "writing a status failed");
            }
        }
    }

    async fn clean_up(&mut self, entries: &[Arc<Entry>], resources: &[Option<Arc<Resource>>]) {
        let mut terminating = HashMap::new();
        for (entry, resource) in entries.iter().zip(resources) {
            if entry.object.meta("deletionTimestamp").is_none() {
                continue;
            }
            let uid = entry.object.uid().to_owned();
            let since = self
                .terminating
                .get(&uid)
                .copied()
                .unwrap_or_else(Instant::now);
            terminating.insert(uid, since);
            let settled = since.elapsed() >= SETTLE;
            let outcome = cleanup::step(
                &self.store,
                &self.cache,
                entry,
                resource.as_deref(),
                settled,
            )
            .await;
            if let Err(error) = outcome {
                tracing::debug!(definition = entry.key, %error, "cleaning up failed");
            }
        }
        self.terminating = terminating;
    }
}

/// The same as long as the definition's spec is the same.
fn fingerprint(object: &Object) -> String {
    format!("{} generation {}", object.uid(), object.generation())
}

fn resource(object: &Object, fingerprint: &str) -> Option<Arc<Resource>> {
    let spec = object.get("spec")?;
    let parsed = Definition::parse(object.name(), &without_sharing(spec))
        .and_then(|definition| Ok((definition, Sharing::parse(spec)?, Writers::parse(spec)?)));
    match parsed {
        Ok((definition, sharing, writers)) => Some(Arc::new(Resource {
            served: definition.served(),
            home_group: definition.group.clone(),
            home_plural: definition.names.plural.clone(),
            home_kind: definition.names.kind.clone(),
            definition: Arc::new(definition),
            exposure: Exposure::Shared,
            sharing,
            writers,
            special: Special::None,
            terminating: false,
            fingerprint: fingerprint.to_owned(),
        })),
        Err(error) => {
            tracing::warn!(definition = object.name(), %error, "a stored definition is not valid");
            None
        }
    }
}

fn with_terminating(resource: Arc<Resource>, terminating: bool) -> Arc<Resource> {
    if resource.terminating == terminating {
        return resource;
    }
    Arc::new(Resource {
        terminating,
        ..(*resource).clone()
    })
}
