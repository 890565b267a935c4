//! Does what waits for the store, one after the other, as long as it takes.

use std::time::Duration;

use helium_apimachinery::GroupResource;
use helium_telemetry::Chain;
use jiff::Timestamp;
use rand::Rng;
use tokio_util::sync::CancellationToken;

use super::queue::{HomeObjects, Pending};
use super::{Departures, Shared};
use crate::definitions::remove_stored;
use crate::storage::{Alongside, Prefix, Record, Result, codec};

/// Pauses between tries while the store doesn't answer.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// Records that are read at once.
const PAGE: i64 = 500;

/// Works until cancelled.
pub(super) async fn run(departures: Departures, stop: CancellationToken) {
    let work = async {
        let shared = &departures.shared;
        let mut changed = shared.queue.changes();
        let mut pause = PAUSE_MIN;
        loop {
            changed.borrow_and_update();
            shared.queue.keep().await;
            let Some(item) = shared.queue.begin() else {
                // The sender lives as long as the queue that we hold.
                let _ = changed.changed().await;
                continue;
            };
            // Each try is one piece of work: between two of them the item may be taken back.
            let done = settle(shared, &item).await;
            shared.queue.end(done);
            if done {
                pause = PAUSE_MIN;
            } else {
                let jittered = pause.mul_f64(rand::rng().random_range(0.8..1.2));
                tokio::time::sleep(jittered).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

/// Tries to do an item; `false` if it is to be tried again.
async fn settle(shared: &Shared, item: &Pending) -> bool {
    let outcome = match item {
        Pending::Departure { namespace, time } => depart(shared, namespace, *time).await,
        Pending::Return { namespace } => shared.withdraw(namespace).await,
        Pending::HomeDeletion(objects) => delete_home(shared, objects).await,
    };
    match outcome {
        Ok(()) => true,
        Err(error) if error.is_transient() => {
            tracing::debug!(error = %Chain(&error), "what waits for the store waits on");
            false
        }
        Err(error) => {
            tracing::warn!(error = %Chain(&error), ?item, "what waited for the store can't be done");
            true
        }
    }
}

/// Records that the cluster left. A record that is there is older, and good.
async fn depart(shared: &Shared, namespace: &str, time: Timestamp) -> Result<()> {
    let key = shared.cache.prefix().key(&shared.relative(namespace));
    shared
        .store
        .create(&key, shared.record(namespace, time))
        .await
        .map(|_| ())
}

/// Deletes the cluster's own objects of a kind that were there when the namespace went (N3).
async fn delete_home(shared: &Shared, objects: &HomeObjects) -> Result<()> {
    let keys = shared.store.keys();
    let prefix = keys.resource(&objects.group, &objects.resource, Some(&shared.cluster));
    let resource = GroupResource::new(objects.group.clone(), objects.resource.clone());
    let mut deleted = 0_usize;
    match &objects.known {
        Some(known) => {
            for (name, revision) in known {
                let key = prefix.key(&Prefix::relative(Some(&objects.namespace), name));
                let record = shared.store.get(&key).await?;
                if let Some(record) = record.filter(|record| record.revision == *revision) {
                    remove_stored(&shared.store, &resource, &record, &Alongside::default()).await?;
                    deleted += 1;
                }
            }
        }
        None => {
            let scope = prefix.key(&format!("{}/", objects.namespace));
            let (mut start, mut revision): (Option<Vec<u8>>, i64) = (None, 0);
            loop {
                let page = shared
                    .store
                    .page(&scope, start.as_deref(), PAGE, revision)
                    .await?;
                revision = page.revision;
                for record in page
                    .records
                    .iter()
                    .filter(|record| is_older(record, objects.time))
                {
                    remove_stored(&shared.store, &resource, record, &Alongside::default()).await?;
                    deleted += 1;
                }
                start = page
                    .records
                    .last()
                    .map(|record| [&record.key[..], b"\0"].concat());
                if page.remaining == 0 {
                    break;
                }
            }
        }
    }
    tracing::info!(
        resource = %resource,
        namespace = objects.namespace,
        deleted,
        "deleted the cluster's own objects of a namespace that went while the store was down"
    );
    Ok(())
}

/// Whether an object was created before a moment. Creation times have whole seconds; the second itself doesn't count.
fn is_older(record: &Record, moment: Timestamp) -> bool {
    codec::decode(record).is_ok_and(|object| {
        object
            .creation_timestamp()
            .is_some_and(|created| created.as_second() < moment.as_second())
    })
}
