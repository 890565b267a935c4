//! Failover groups and their leases, as far as they differ from other objects ([`crate::failover`]).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::lease::holder;
use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, CreateContext};
use helium_apimachinery::status::Result;
use helium_apimachinery::{GroupVersionKind, Status};
use helium_failover::kind::{FAILOVER_GROUPS, GroupSpec};
use helium_failover::lease::STOP_BUDGET;
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;
use uuid::Uuid;

use super::Registry;
use super::call::Call;
use super::error;
use super::live::Live;
use crate::cache::{Cache, DecodeError, Decoder, WindowLimits};
use crate::definitions::Special;
use crate::definitions::builtin::HELIUM_GROUP;
use crate::failover::{self, LeaseWrite, Refusal};
use crate::storage::{self, Alongside, Beside, Keyspace, Prefix, Record, Store, Written};

/// How often a lease is written again because its group has changed.
const ATTEMPTS: usize = 64;
/// The longest term that there may be, whatever is written somewhere: the longest lease and the longest end.
const LONGEST: Duration = Duration::from_secs(2 * 3600);

impl Registry {
    /// Keeps known whether the store went back in time, from when it tells.
    pub(super) fn follow_setbacks(&self) {
        let stop = self.shutdown.child_token();
        let prefix = self.store.keys().incarnations();
        let limits = WindowLimits::default();
        let decoder = Box::new(Incarnation);
        let (cache, work) = Cache::start(self.store.clone(), prefix, decoder, limits, stop.clone());
        self.tasks.spawn(work);
        let setback = Arc::clone(&self.setback);
        self.tasks.spawn(async move {
            let mut changed = cache.changes();
            let mut seen = 0;
            loop {
                changed.borrow_and_update();
                if cache.is_filled() {
                    let (entry, _) = cache.get(Keyspace::INCARNATION);
                    let revision = entry.map_or(0, |entry| entry.revision);
                    let is_news = revision != seen && revision > setback.known();
                    seen = revision;
                    if is_news {
                        tracing::warn!(revision, "the store went back in time; no term of a failover group begins for a while");
                        setback.note(revision, Instant::now());
                    }
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    // The sender lives as long as the cache that we hold.
                    _ = changed.changed() => {}
                }
            }
        });
    }
}

/// Reads what the store tells of having gone back: that it is there is all that matters.
struct Incarnation;

impl Decoder for Incarnation {
    fn decode(&self, record: &Record) -> std::result::Result<Object, DecodeError> {
        let mut object = Object::default();
        object.set_name(Keyspace::INCARNATION);
        object.set_resource_version(&record.revision.to_string());
        Ok(object)
    }
}

impl Call<'_> {
    /// Completes a lease that is a group's, and says what is wrong with it; others are fine. 403 if it isn't this cluster's to write.
    pub(super) fn admit_group_lease(
        &self,
        lease: &mut Object,
        old: Option<&Object>,
    ) -> Result<ErrorList> {
        let outcome = failover::admit_lease(lease, old, self.origin);
        self.found(lease.name(), outcome)
    }

    /// Completes a group, and says what is wrong with it, likewise.
    pub(super) fn admit_group(
        &self,
        group: &mut Object,
        old: Option<&Object>,
    ) -> Result<ErrorList> {
        let gone = |cluster: &str| self.is_gone(cluster);
        let outcome = failover::admit_group(group, old, self.origin, &gone);
        self.found(group.name(), outcome)
    }

    fn found(&self, name: &str, outcome: std::result::Result<(), Refusal>) -> Result<ErrorList> {
        match outcome {
            Ok(()) => Ok(ErrorList::new()),
            Err(Refusal::Invalid(errors)) => Ok(errors),
            Err(Refusal::Forbidden(why)) => {
                Err(Status::forbidden(&self.group_resource(), name, why))
            }
        }
    }

    /// Refuses to delete a group that is needed, or what a group can't do without.
    pub(super) fn check_group_deletion(&self, stored: &Object) -> Result<()> {
        let gone = |cluster: &str| self.is_gone(cluster);
        let why = match self.live.resource.special {
            Special::Lease => failover::refuse_lease_deletion(stored, &gone),
            Special::FailoverGroup => failover::refuse_group_deletion(stored, &gone),
            _ => None,
        };
        why.map_or(Ok(()), |why| {
            Err(Status::forbidden(
                &self.group_resource(),
                stored.name(),
                why,
            ))
        })
    }

    /// Whether a cluster is known to have left the fleet: there are members, and it is none, or was shut out.
    fn is_gone(&self, cluster: &str) -> bool {
        let roster = self.registry.members.roster();
        !roster.members().is_empty()
            && roster
                .get(cluster)
                .is_none_or(|member| member.revoked.is_some())
    }

    /// Makes a write: of a group's lease together with what the group says of it. It may be made several times, since only the
    /// group may have changed: whether the object's own compare holds is for the caller to see.
    pub(super) async fn commit(
        &self,
        old: Option<&Object>,
        new: Option<&Object>,
        along: Alongside,
        write: Write<'_>,
    ) -> Result<Written> {
        let store = &self.registry.store;
        let lease = LeaseWrite { old, new };
        let Some(mut group) = self.group_beside(lease) else {
            return Ok(write.make(store, &along).await?);
        };
        let begins = lease.begins_term();
        for _ in 0..ATTEMPTS {
            if begins {
                self.check_setback(&group, lease)?;
            }
            let setback = self.registry.setback.known();
            let joined = group.joined(&along, lease, begins.then_some(setback), self)?;
            match write.make(store, &joined).await? {
                Written::Moved { found } => {
                    let mut found = found.into_iter();
                    if let Some(record) = found.next() {
                        group.read(record)?;
                    }
                    if let Some(record) = found.next() {
                        let revision = record.map_or(0, |record| record.revision);
                        self.registry.setback.note(revision, Instant::now());
                    }
                }
                outcome => return Ok(outcome),
            }
        }
        Err(Status::object_modified(&self.group_resource(), &self.name))
    }

    /// The group that a write of a lease is written into, as the cache has it; `None` if there is nothing to write.
    fn group_beside(&self, lease: LeaseWrite<'_>) -> Option<Group> {
        if self.live.resource.special != Special::Lease {
            return None;
        }
        let callsign = failover::group_of(lease.new.or(lease.old)?)?;
        let live = self.registry.find(HELIUM_GROUP, FAILOVER_GROUPS)?;
        let relative = Prefix::relative(Some(&self.namespace), callsign);
        let (cached, _) = live.cache.get(&relative);
        let cached = cached.map(|entry| (entry.object.clone(), entry.revision));
        let group = Group {
            key: live.cache.prefix().key(&relative),
            callsign: callsign.to_owned(),
            live,
            stored: cached,
        };
        (lease.is_news() || !group.agrees(lease)).then_some(group)
    }

    /// Refuses to begin a term while one that the store has forgotten may last.
    fn check_setback(&self, group: &Group, lease: LeaseWrite<'_>) -> Result<()> {
        let of_leases = [lease.old, lease.new].into_iter().flatten().map(lasting);
        let spec = group
            .stored
            .as_ref()
            .and_then(|(group, _)| group.get("spec"));
        let spec: GroupSpec = spec
            .and_then(|spec| serde_json::from_value(spec.clone()).ok())
            .unwrap_or_default();
        let of_group = spec.lease_duration_seconds + spec.stop_budget_seconds;
        let of_group = Duration::from_secs(of_group.max(0).unsigned_abs());
        let longest = of_leases.fold(of_group, Duration::max).min(LONGEST);
        let Some(left) = self.registry.setback.left(longest, Instant::now()) else {
            return Ok(());
        };
        let seconds = left.as_secs() + 1;
        Err(Status::service_unavailable(format!(
            "store went back in time: a term that it has forgotten may last for {seconds} s yet, and until then nobody begins to lead"
        ))
        .with_retry_after(u32::try_from(seconds).unwrap_or(u32::MAX)))
    }
}

/// How long a term lasts at most without a renewal, as its lease says, its end included.
fn lasting(lease: &Object) -> Duration {
    if holder(lease).is_empty() {
        return Duration::ZERO;
    }
    let seconds = lease.get_path(&["spec", "leaseDurationSeconds"]);
    let seconds = seconds.and_then(Value::as_u64).unwrap_or_default();
    let budget = lease
        .annotation(STOP_BUDGET)
        .and_then(|millis| millis.parse().ok());
    Duration::from_secs(seconds) + Duration::from_millis(budget.unwrap_or_default())
}

/// A conditional write of an object.
pub(super) struct Write<'a> {
    /// The full key.
    pub(super) key: &'a str,
    /// The revision that is replaced; 0 where nothing may be.
    pub(super) expected: i64,
    /// What is put; `None` for a deletion.
    pub(super) value: Option<Bytes>,
}

impl Write<'_> {
    async fn make(&self, store: &Store, along: &Alongside) -> storage::Result<Written> {
        let (key, expected) = (self.key, self.expected);
        match self.value.clone() {
            None => store.delete_with(key, expected, along).await,
            Some(value) if expected == 0 => store.create_with(key, value, along).await,
            Some(value) => store.update_with(key, expected, value, along).await,
        }
    }
}

/// A group whose lease is written.
struct Group {
    live: Arc<Live>,
    key: String,
    callsign: String,
    /// What is there, as far as known, and at which revision.
    stored: Option<(Object, i64)>,
}

impl Group {
    /// Whether it needn't be written: it says what the lease says.
    fn agrees(&self, lease: LeaseWrite<'_>) -> bool {
        match &self.stored {
            Some((group, _)) => failover::agrees(group, lease.new),
            None => lease.new.is_none_or(|lease| holder(lease).is_empty()),
        }
    }

    /// Takes what was found instead.
    fn read(&mut self, record: Option<Record>) -> Result<()> {
        self.stored = match record {
            None => None,
            Some(record) => {
                let group = self.live.decode(&record);
                let group = group.map_err(|error| error::unreadable(&error))?;
                Some((group, record.revision))
            }
        };
        Ok(())
    }

    /// What goes with the write of the lease: this group, if it says something new then. `setback` is the revision that the store's word
    /// of having gone back must have.
    fn joined(
        &self,
        along: &Alongside,
        lease: LeaseWrite<'_>,
        setback: Option<i64>,
        call: &Call<'_>,
    ) -> Result<Alongside> {
        let mut along = along.clone();
        let revision = self.stored.as_ref().map_or(0, |(_, revision)| *revision);
        along.companions.push((self.key.clone(), revision));
        if let Some(revision) = setback {
            let key = call.registry.store.keys().incarnations();
            along
                .companions
                .push((key.key(Keyspace::INCARNATION), revision));
        }
        let gone = self.stored.is_none() && lease.new.is_none();
        if !gone && (lease.is_news() || !self.agrees(lease)) {
            let mut group = match &self.stored {
                Some((group, _)) => group.clone(),
                None => self.new_group(call)?,
            };
            let now = format!("{:.6}", Timestamp::now());
            failover::write_record(&mut group, lease, &now);
            call.stamp(&mut group);
            let value = self.live.encode(&group);
            along.besides.push(Beside::Put(self.key.clone(), value));
        }
        Ok(along)
    }

    /// A group with nothing but defaults.
    fn new_group(&self, call: &Call<'_>) -> Result<Object> {
        let definition = &self.live.resource.definition;
        let version = definition.storage_version();
        let gvk: GroupVersionKind = definition.gvk(&version.name);
        let mut group = Object::new(&gvk);
        group.set_name(&self.callsign);
        let context = CreateContext {
            scope: definition.scope,
            namespace: &call.namespace,
            has_status: true,
            now: Timestamp::now(),
            uid: Uuid::new_v4(),
        };
        metadata_rules::prepare_create(&mut group, &context, &mut rand::rng())?;
        group.with_value_mut(|group| version.schema.default(group));
        Ok(group)
    }
}
