//! The end of a definition: its objects go first, then its finalizer (D4).

use helium_apimachinery::GroupResource;
use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, Deletion};
use helium_apimachinery::options::DeleteOptions;
use jiff::Timestamp;
use serde_json::Value;

use super::FINALIZER;
use super::catalog::Resource;
use crate::cache::{Cache, Entry};
use crate::storage::{self, Alongside, Record, Result, Store, codec};

/// Objects that are deleted in one step.
const BATCH: i64 = 500;

/// Goes on with the deletion of a definition: deletes a batch of objects, or, if none are left and
/// it is `settled`, lets the definition go. Every server may do this at once: all its writes are conditional.
pub(super) async fn step(
    store: &Store,
    definitions: &Cache,
    entry: &Entry,
    resource: Option<&Resource>,
    settled: bool,
) -> Result<()> {
    let waits = entry.object.meta("finalizers").and_then(Value::as_array);
    if !waits.is_some_and(|list| list.iter().any(|finalizer| finalizer == FINALIZER)) {
        return Ok(());
    }
    if let Some(resource) = resource {
        // All clusters' objects, also of a per-cluster kind.
        let prefix = store
            .keys()
            .resource(&resource.home_group, &resource.home_plural, None);
        let page = store.page(prefix.as_str(), None, BATCH, 0).await?;
        for record in &page.records {
            let named = GroupResource::new(resource.group(), resource.plural());
            remove_stored(store, &named, record, &Alongside::default()).await?;
        }
        if !page.records.is_empty() || !settled {
            return Ok(());
        }
    }
    release(store, definitions, entry).await
}

/// Deletes a stored object as a client's deletion would: one with finalizers is marked. Nothing happens if it has changed
/// since it was read. `false` if the guard of `along` refused it.
pub(crate) async fn remove_stored(
    store: &Store,
    resource: &GroupResource,
    record: &Record,
    along: &Alongside,
) -> Result<bool> {
    let Ok(key) = std::str::from_utf8(&record.key) else {
        return Ok(true);
    };
    let decision = match codec::decode(record) {
        Ok(object) => {
            let options = DeleteOptions::default();
            metadata_rules::prepare_delete(&object, &options, resource, Timestamp::now())
                .unwrap_or(Deletion::Pending)
        }
        // Nobody can hold on to what nobody can read.
        Err(_) => Deletion::Remove,
    };
    match decision {
        Deletion::Remove => {
            let outcome = store.delete_with(key, record.revision, along).await?;
            Ok(!matches!(outcome, storage::Written::Fenced { .. }))
        }
        Deletion::Mark(object) => {
            let value = codec::encode(&object);
            let outcome = store
                .update_with(key, record.revision, value, along)
                .await?;
            Ok(!matches!(outcome, storage::Written::Fenced { .. }))
        }
        Deletion::Pending => Ok(true),
    }
}

/// Drops our finalizer, and the definition if it was the last.
async fn release(store: &Store, definitions: &Cache, entry: &Entry) -> Result<()> {
    let key = definitions.prefix().key(&entry.key);
    let mut object = entry.object.clone();
    drop_finalizer(&mut object);
    if metadata_rules::completes_deletion(&object) {
        store.delete(&key, entry.revision).await.map(|_| ())
    } else {
        store
            .update(&key, entry.revision, codec::encode(&object))
            .await
            .map(|_| ())
    }
}

fn drop_finalizer(object: &mut Object) {
    let empty = match object
        .metadata_mut()
        .get_mut("finalizers")
        .and_then(Value::as_array_mut)
    {
        Some(list) => {
            list.retain(|finalizer| finalizer != FINALIZER);
            list.is_empty()
        }
        None => true,
    };
    if empty {
        object.remove_meta("finalizers");
    }
}
