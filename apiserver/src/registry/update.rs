//! `update` and `patch`, of objects and of their status.

use std::borrow::Cow;

use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, UpdateTarget};
use helium_apimachinery::options::WriteOptions;
use helium_apimachinery::patch::{Family, Patch, PatchType};
use helium_apimachinery::status::Result;
use helium_apimachinery::{Status, json, unknown};
use http::{StatusCode, header};

use super::call::{Answer, Call};
use super::create::{ORIGIN, set_annotation};
use super::failover::Write;
use super::fence::Fence;
use crate::definitions::Special;
use crate::storage::{Record, Written};

/// How often an update is computed again because somebody else was faster.
const ATTEMPTS: usize = 64;

/// The object that a change starts from.
struct Current {
    stored: Object,
    revision: i64,
    /// Whether it came from the store itself, so that errors found with it are final (R2).
    fresh: bool,
}

/// What a change comes to.
enum Next {
    /// Nothing changes; the precondition is looked at all the same.
    Same(Object, Option<Fence>),
    /// Store this, under its precondition.
    Put(Object, Option<Fence>),
    /// The last finalizer is gone, and the object with it.
    Remove(Object, Option<Fence>),
}

impl Call<'_> {
    pub(super) async fn replace(&self, status: bool) -> Answer {
        let options = WriteOptions::for_update(&self.query)?;
        let mut body = self.decode_object(options.field_validation)?;
        metadata_rules::check_identity(&mut body, &self.name, &self.namespace)?;
        let unconditional = self.live.resource.special == Special::Event;
        let change = |current: &Object| {
            let mut body = body.clone();
            if unconditional && body.resource_version().is_empty() {
                body.set_resource_version(current.resource_version());
            }
            Ok(body)
        };
        let updated = self
            .modify(options.dry_run, self.target(status), change)
            .await?;
        self.respond(StatusCode::OK, &updated)
    }

    pub(super) async fn patch(&self, status: bool) -> Answer {
        let (patch, options) = self.decode_patch()?;
        let change = |current: &Object| {
            let patched = patch.apply(current.as_value())?;
            let (mut object, unknown_meta) = json::into_object(patched, &self.view.served.gvk)?;
            metadata_rules::check_identity(&mut object, &self.name, &self.namespace)?;
            let complaints = self.normalise(&mut object)?;
            let complaints = [patch.duplicates(), &unknown_meta, &complaints].concat();
            if !complaints.is_empty() {
                let text = serde_json::to_string(&object).unwrap_or_default();
                let mode = options.field_validation;
                self.warn(unknown::verdict_on_patch(mode, &text, complaints)?);
            }
            Ok(object)
        };
        let updated = self
            .modify(options.dry_run, self.target(status), change)
            .await?;
        self.respond(StatusCode::OK, &updated)
    }

    pub(super) fn decode_patch(&self) -> Result<(Patch, WriteOptions)> {
        let media = self.request.headers.get(header::CONTENT_TYPE);
        let media = media
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let family = match self.live.resource.special {
            Special::Namespace | Special::Lease | Special::LeaseCandidate | Special::Event => {
                Family::BuiltIn
            }
            _ => Family::Custom,
        };
        let kind = PatchType::from_content_type(media, family)?;
        let options = WriteOptions::for_patch(&self.query, kind)?;
        Ok((Patch::parse(kind, &self.request.body)?, options))
    }

    fn target(&self, status: bool) -> UpdateTarget {
        if status {
            UpdateTarget::Status
        } else {
            UpdateTarget::Main {
                has_status: self.version().has_status,
            }
        }
    }

    /// Changes the object that the path names and returns it as it is then, in the request's version. `change`
    /// may run several times, each time on the object as it is by then.
    pub(super) async fn modify(
        &self,
        dry_run: bool,
        target: UpdateTarget,
        change: impl Fn(&Object) -> Result<Object> + Sync,
    ) -> Result<Object> {
        self.materialise(dry_run).await?;
        let mut current = self.cached_current();
        for _ in 0..ATTEMPTS {
            self.refresh_members().await?;
            let from = match current.take() {
                Some(current) => current,
                None => self.fresh_current().await?,
            };
            let next = match self.next(&from, target, &change).await {
                Ok(Next::Same(..)) | Err(_) if !from.fresh => continue,
                next => next?,
            };
            match self.write(&from, next, dry_run).await? {
                Ok(object) => return Ok(object),
                Err(lost_to) => current = self.current_of(lost_to)?,
            }
        }
        Err(Status::object_modified(&self.group_resource(), &self.name))
    }

    /// What the cache has, as a first guess.
    fn cached_current(&self) -> Option<Current> {
        let entry = self.live.cache.get(&self.relative_key()).0?;
        Some(Current {
            stored: entry.object.clone(),
            revision: entry.revision,
            fresh: false,
        })
    }

    async fn fresh_current(&self) -> Result<Current> {
        let record = self
            .registry
            .store
            .get(&self.key(&self.relative_key()))
            .await?;
        self.current_of(record)?.ok_or_else(|| self.not_found())
    }

    fn current_of(&self, record: Option<Record>) -> Result<Option<Current>> {
        let Some(record) = record else {
            return Ok(None);
        };
        let stored = self
            .live
            .decode(&record)
            .map_err(|error| self.unreadable(&error))?;
        Ok(Some(Current {
            stored,
            revision: record.revision,
            fresh: true,
        }))
    }

    async fn next(
        &self,
        from: &Current,
        target: UpdateTarget,
        change: &(impl Fn(&Object) -> Result<Object> + Sync),
    ) -> Result<Next> {
        let old = self.view.whole(&from.stored);
        let mut new = change(&self.view.show(Cow::Borrowed(&old)))?;
        self.view.complete(&mut new, &old);
        let fence = self.take_fence(Some(&mut new))?;
        let asked = new.resource_version();
        if !asked.is_empty() && asked != old.resource_version() {
            return Err(Status::object_modified(&self.group_resource(), &self.name));
        }
        metadata_rules::prepare_update(&mut new, &old, target, &self.group_resource())?;
        let origin = old.get_path(&["metadata", "annotations", ORIGIN]);
        set_annotation(&mut new, ORIGIN, origin.and_then(|origin| origin.as_str()));
        self.set_token(&mut new, Some(&old));

        self.warn(
            metadata_rules::dedup_owner_references(&mut new)
                .into_iter()
                .collect(),
        );
        let mut errors = metadata_rules::validate_update(&new, &old);
        errors.append(self.check_owners(&new, Some(&old)));
        self.check_kind(&mut new, Some(&old), errors)?;
        self.check_candidate(&new, &old)?;
        self.check_collector_update(&old, &new).await?;
        let schema = &self.version().schema;
        self.warn(schema.ignored(new.as_value(), Some(old.as_value())));
        self.warn(metadata_rules::warnings(&new, Some(&old)));
        if metadata_rules::completes_deletion(&new) {
            return Ok(Next::Remove(new, fence));
        }
        if metadata_rules::is_no_op(&new, &old) {
            return Ok(Next::Same(old.into_owned(), fence));
        }
        if !self.keeps_origin() {
            self.stamp(&mut new);
        }
        Ok(Next::Put(new, fence))
    }

    /// Writes a change; the inner error is what is there instead of what it started from.
    async fn write(
        &self,
        from: &Current,
        next: Next,
        dry_run: bool,
    ) -> Result<std::result::Result<Object, Option<Record>>> {
        let key = self.key(&self.relative_key());
        let (mut object, revision) = match next {
            Next::Same(object, fence) => {
                self.check_fence(&self.name, fence.as_ref()).await?;
                return Ok(Ok(object));
            }
            Next::Put(object, fence) | Next::Remove(object, fence) if dry_run => {
                self.check_fence(&self.name, fence.as_ref()).await?;
                (object, from.revision)
            }
            Next::Put(object, fence) => {
                self.come_back().await?;
                let value = self.live.encode(&self.view.to_storage(object.clone()));
                let change = self.term_change(Some(&from.stored), Some(&object));
                let along = self.alongside(fence.as_ref(), change);
                let put = Write {
                    key: &key,
                    expected: from.revision,
                    value: Some(value),
                };
                match self
                    .commit(Some(&from.stored), Some(&object), along, put)
                    .await?
                {
                    Written::Done { revision } => (object, revision),
                    Written::Conflict { current } => return Ok(Err(current)),
                    Written::Fenced { guard } => {
                        return Err(self.fenced(&self.name, fence.as_ref(), guard.as_ref()));
                    }
                    Written::Moved { .. } => return Err(self.fenced(&self.name, None, None)),
                }
            }
            Next::Remove(object, fence) => {
                let change = self.term_change(Some(&from.stored), None);
                let along = self.alongside(fence.as_ref(), change);
                let delete = Write {
                    key: &key,
                    expected: from.revision,
                    value: None,
                };
                match self.commit(Some(&from.stored), None, along, delete).await? {
                    Written::Done { revision } => (object, revision),
                    Written::Conflict { current } => return Ok(Err(current)),
                    Written::Fenced { guard } => {
                        return Err(self.fenced(&self.name, fence.as_ref(), guard.as_ref()));
                    }
                    Written::Moved { .. } => return Err(self.fenced(&self.name, None, None)),
                }
            }
        };
        if !dry_run {
            self.complete_token(&mut object, revision);
        }
        object.set_resource_version(&revision.to_string());
        Ok(Ok(object))
    }
}
