//! `delete` and `deletecollection`.

use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules;
use helium_apimachinery::options::DeleteOptions;
use helium_apimachinery::status::{self, Result};
use helium_apimachinery::{Status, json};
use http::{StatusCode, header};
use jiff::Timestamp;

use super::call::{Answer, Call};
use super::collection::Freshness;
use super::error;
use super::failover::Write;
use super::render::{self, Item, ListMeta};
use crate::storage::{Record, Written};

/// How often a deletion is decided again because somebody else changed the object.
const ATTEMPTS: usize = 64;

/// What became of an object that was to be deleted.
enum Outcome {
    /// It is gone; its last state.
    Removed(Object),
    /// It waits for finalizers; its present state.
    Waiting(Object),
}

impl Call<'_> {
    pub(super) async fn delete(&self) -> Answer {
        let options = self.delete_options()?;
        self.materialise(options.dry_run).await?;
        self.warn_of_remains();
        match self.delete_one(&self.name, &options).await? {
            Outcome::Removed(object) => {
                let body = status::deleted(&self.group_resource(), &self.name, object.uid());
                render::document(StatusCode::OK, self.output.encoding, &body)
            }
            Outcome::Waiting(object) => {
                let pending = options.orphan_dependents == Some(false);
                let code = if pending {
                    StatusCode::ACCEPTED
                } else {
                    StatusCode::OK
                };
                self.respond(code, &object)
            }
        }
    }

    pub(super) async fn delete_collection(&self) -> Answer {
        let filter = self.filter()?;
        let options = self.delete_options()?;
        match self.make_cache_fresh().await {
            Ok(()) => {}
            Err(Freshness::Lagging) => {
                return Err(error::lagging());
            }
            Err(Freshness::Failed(status)) => return Err(status),
        }
        let (entries, revision) = self.cached(&filter);
        let mut deleted = Vec::with_capacity(entries.len());
        for entry in entries {
            match self.delete_one(entry.object.name(), &options).await {
                Ok(Outcome::Removed(object) | Outcome::Waiting(object)) => deleted.push(object),
                // Somebody else was faster.
                Err(status) if status.code() == 404 => {}
                Err(status) => return Err(status),
            }
        }
        let items: Vec<_> = deleted
            .iter()
            .map(|object| Item {
                object: self.viewed(object),
                json: None,
            })
            .collect();
        let meta = ListMeta {
            revision,
            ..ListMeta::default()
        };
        render::list(self.output, &self.view, &items, &meta)
    }

    pub(super) fn delete_options(&self) -> Result<DeleteOptions> {
        if self.request.body.is_empty() {
            return DeleteOptions::from_request(&self.query, None);
        }
        let media = self.request.headers.get(header::CONTENT_TYPE);
        let media = media
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let body = json::decode_body(media, &self.request.body)?;
        DeleteOptions::from_request(&self.query, Some(&body.value))
    }

    async fn delete_one(&self, name: &str, options: &DeleteOptions) -> Result<Outcome> {
        self.check_heartbeat(name)?;
        let key = self.key(&self.relative_key_of(name));
        let store = &self.registry.store;
        let mut record = store.get(&key).await?;
        for _ in 0..ATTEMPTS {
            let found = record.ok_or_else(|| Status::not_found(&self.group_resource(), name))?;
            match self.try_delete(&key, &found, options).await? {
                Ok(outcome) => return Ok(outcome),
                Err(current) => record = current,
            }
        }
        Err(Status::object_modified(&self.group_resource(), name))
    }

    async fn try_delete(
        &self,
        key: &str,
        record: &Record,
        options: &DeleteOptions,
    ) -> Result<std::result::Result<Outcome, Option<Record>>> {
        let stored = self
            .live
            .decode(record)
            .map_err(|error| self.unreadable(&error))?;
        let resource = self.group_resource();
        let decision =
            metadata_rules::prepare_delete(&stored, options, &resource, Timestamp::now())?;
        self.check_collector_delete(&stored).await?;
        self.check_group_deletion(&stored)?;
        let store = &self.registry.store;
        let fence = self.take_fence(None)?;
        let fenced =
            |guard: Option<Record>| self.fenced(stored.name(), fence.as_ref(), guard.as_ref());
        if options.dry_run || matches!(decision, metadata_rules::Deletion::Pending) {
            self.check_fence(stored.name(), fence.as_ref()).await?;
        }
        match decision {
            metadata_rules::Deletion::Pending => {
                Ok(Ok(Outcome::Waiting(self.viewed(&stored).into_owned())))
            }
            metadata_rules::Deletion::Remove if options.dry_run => Ok(Ok(Outcome::Removed(stored))),
            metadata_rules::Deletion::Remove => {
                let change = self.term_change(Some(&stored), None);
                let along = self.alongside(fence.as_ref(), change);
                let delete = Write {
                    key,
                    expected: record.revision,
                    value: None,
                };
                match self.commit(Some(&stored), None, along, delete).await? {
                    Written::Done { .. } => Ok(Ok(Outcome::Removed(stored))),
                    Written::Conflict { current } => Ok(Err(current)),
                    Written::Fenced { guard } => Err(fenced(guard)),
                    Written::Moved { .. } => Err(fenced(None)),
                }
            }
            metadata_rules::Deletion::Mark(marked) if options.dry_run => {
                Ok(Ok(Outcome::Waiting(self.viewed(&marked).into_owned())))
            }
            metadata_rules::Deletion::Mark(mut marked) => {
                self.stamp(&mut marked);
                let along = self.alongside(fence.as_ref(), None);
                let value = self.live.encode(&marked);
                match store
                    .update_with(key, record.revision, value, &along)
                    .await?
                {
                    Written::Done { revision } => {
                        marked.set_resource_version(&revision.to_string());
                        Ok(Ok(Outcome::Waiting(self.viewed(&marked).into_owned())))
                    }
                    Written::Conflict { current } => Ok(Err(current)),
                    Written::Fenced { guard } => Err(fenced(guard)),
                    Written::Moved { .. } => Err(fenced(None)),
                }
            }
        }
    }
}
