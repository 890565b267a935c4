//! `create`, and what create and update have in common.

use helium_apimachinery::field::ErrorList;
use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, CreateContext};
use helium_apimachinery::options::{FieldValidation, WriteOptions};
use helium_apimachinery::status::Result;
use helium_apimachinery::{Status, event, json, lease, lease_candidate, names, unknown};
use http::{StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::call::{Answer, Call};
use super::error;
use super::failover::Write;
use super::fence::Fence;
use crate::definitions::{self, Special};
use crate::members;
pub(super) use crate::origin::ORIGIN;
use crate::storage::Written;

/// How often another name is made up when a generated one is taken.
const NAME_ATTEMPTS: usize = 8;

impl Call<'_> {
    pub(super) async fn create(&self) -> Answer {
        let options = WriteOptions::for_create(&self.query)?;
        let mut object = self.decode_object(options.field_validation)?;
        if self.live.resource.terminating {
            let why = "create not allowed while custom resource definition is terminating";
            return Err(Status::forbidden(
                &self.group_resource(),
                object.name(),
                why,
            ));
        }
        let generated = object.name().is_empty();
        metadata_rules::prepare_create(&mut object, &self.create_context(), &mut rand::rng())?;
        self.warn(
            metadata_rules::dedup_owner_references(&mut object)
                .into_iter()
                .collect(),
        );
        self.refresh_members().await?;
        self.check_new(&mut object)?;
        let fence = self.take_fence(Some(&mut object))?;
        self.set_token(&mut object, None);
        self.stamp(&mut object);
        self.warn(self.version().schema.ignored(object.as_value(), None));
        self.warn(metadata_rules::warnings(&object, None));

        let mut attempt = 0;
        loop {
            attempt += 1;
            let name = object.name().to_owned();
            let put = self.put_new(&object, fence.as_ref(), options.dry_run);
            let existing = match put.await? {
                Ok(revision) => {
                    if let Some(revision) = revision {
                        object.set_resource_version(&revision.to_string());
                        self.complete_token(&mut object, revision);
                    }
                    return self.respond(StatusCode::CREATED, &object);
                }
                Err(existing) => existing,
            };
            if !generated {
                return Err(self.already_exists(&name, existing.as_ref()));
            }
            if attempt == NAME_ATTEMPTS {
                return Err(Status::generate_name_conflict(
                    &self.group_resource(),
                    &name,
                ));
            }
            metadata_rules::regenerate_name(&mut object, &mut rand::rng());
        }
    }

    /// Writes a new object; the inner error is what is there already.
    async fn put_new(
        &self,
        object: &Object,
        fence: Option<&Fence>,
        dry_run: bool,
    ) -> Result<std::result::Result<Option<i64>, Option<Object>>> {
        let relative = self.relative_key_of(object.name());
        if dry_run {
            self.check_fence(object.name(), fence).await?;
            let existing = self.read_stored(&relative).await?;
            return Ok(existing.map_or(Ok(None), |existing| Err(Some(existing))));
        }
        self.come_back().await?;
        let value = self.live.encode(&self.view.to_storage(object.clone()));
        let along = self.alongside(fence, self.term_change(None, Some(object)));
        let key = self.key(&relative);
        let put = Write {
            key: &key,
            expected: 0,
            value: Some(value),
        };
        match self.commit(None, Some(object), along, put).await? {
            Written::Done { revision } => Ok(Ok(Some(revision))),
            Written::Fenced { guard } => Err(self.fenced(object.name(), fence, guard.as_ref())),
            Written::Moved { .. } => Err(self.fenced(object.name(), None, None)),
            Written::Conflict { current } => Ok(Err(
                current.and_then(|record| self.live.decode(&record).ok())
            )),
        }
    }

    fn already_exists(&self, name: &str, existing: Option<&Object>) -> Status {
        let status = Status::already_exists(&self.group_resource(), name);
        let terminating = existing.is_some_and(|o| o.meta("deletionTimestamp").is_some());
        if terminating {
            status.with_prefix("object is being deleted: ")
        } else {
            status
        }
    }

    fn create_context(&self) -> CreateContext<'_> {
        CreateContext {
            scope: self.live.resource.definition.scope,
            namespace: &self.namespace,
            has_status: self.version().has_status,
            now: Timestamp::now(),
            uid: Uuid::new_v4(),
        }
    }

    /// Decodes the body as an object of the request's kind.
    pub(super) fn decode_object(&self, mode: FieldValidation) -> Result<Object> {
        let media = self.request.headers.get(header::CONTENT_TYPE);
        let media = media
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let mut decoded = json::decode_body(media, &self.request.body)?;
        let kind = &self.view.served.gvk;
        if self.live.resource.special != Special::None {
            json::complete_kind(&mut decoded.value, kind);
        }
        let (mut object, unknown) = json::into_object(decoded.value, kind)?;
        let complaints = [decoded.duplicates, unknown, self.normalise(&mut object)?].concat();
        self.warn(unknown::verdict(mode, kind, complaints)?);
        Ok(object)
    }

    /// Normalises embedded metadata, drops what the schema doesn't know and fills defaults. Returns what a strict
    /// reader has against it; 400 if embedded metadata is of the wrong type.
    pub(super) fn normalise(&self, object: &mut Object) -> Result<Vec<String>> {
        let schema = &self.version().schema;
        // First, since pruning and validation take embedded metadata to be well-formed.
        let mut complaints = object
            .with_value_mut(|value| schema.coerce(value))
            .map_err(|error| json::mistyped(&self.view.served.gvk, &error))?;
        let mut unknown = object.with_value_mut(|value| schema.prune(value));
        if self.live.resource.special.is_definition() {
            unknown.extend(definitions::unknown_fields(object));
        }
        object.with_value_mut(|value| schema.default(value));
        complaints.extend(
            unknown
                .into_iter()
                .map(|path| format!("unknown field \"{path}\"")),
        );
        Ok(complaints)
    }

    pub(super) fn warn(&self, warnings: Vec<String>) {
        for warning in warnings {
            self.request.warnings.add(warning);
        }
    }

    /// Checks a new object against every rule of its kind, completing it where the kind wants that.
    fn check_new(&self, object: &mut Object) -> Result<()> {
        let scope = self.live.resource.definition.scope;
        let mut errors = match self.live.resource.special {
            Special::LeaseCandidate => {
                metadata_rules::validate_create_named(object, scope, names::config_map_key)
            }
            _ => metadata_rules::validate_create(object, scope),
        };
        errors.append(self.check_owners(object, None));
        self.check_kind(object, None, errors)
    }

    /// Checks an object against its schema and its kind's special rules; `errors` are those found so far.
    pub(super) fn check_kind(
        &self,
        object: &mut Object,
        old: Option<&Object>,
        mut errors: ErrorList,
    ) -> Result<()> {
        let schema = &self.version().schema;
        errors.append(schema.validate(object.as_value(), old.map(Object::as_value)));
        match self.live.resource.special {
            Special::Definition | Special::CustomResourceDefinition => {
                match definitions::admit(object, old) {
                    Ok(()) => {
                        self.warn(definitions::warnings(object, old, self.fleet_has_members()))
                    }
                    Err(found) => errors.append(found),
                }
            }
            Special::Lease => {
                errors.append(self.admit_group_lease(object, old)?);
                errors.append(lease::validate(object));
                self.check_heartbeat(object.name())?;
                match self.registry.lease_durations.apply(object, old) {
                    Ok(warning) => self.warn(warning.into_iter().collect()),
                    Err(error) => errors.push(error),
                }
            }
            Special::Event => errors.append(event::validate(object, old)),
            Special::LeaseCandidate => errors.append(lease_candidate::validate(object, old)),
            Special::Namespace => {
                errors.append(crate::namespaces::validate(object));
                crate::namespaces::complete(object);
            }
            Special::Member => {
                if let Err(found) = self.admit_member(object, old) {
                    errors.append(found);
                }
            }
            Special::JoinToken => {
                errors.append(members::tokens::check(object, old, Timestamp::now()));
            }
            Special::FailoverGroup => errors.append(self.admit_group(object, old)?),
            Special::None | Special::ControlPlane => {}
        }
        if errors.is_empty() {
            return Ok(());
        }
        Err(Status::invalid(&self.group_kind(), object.name(), &errors))
    }

    fn fleet_has_members(&self) -> bool {
        self.registry.members.roster().active().next().is_some()
    }

    /// Writes the origin of the write into the object (R4).
    pub(super) fn stamp(&self, object: &mut Object) {
        set_annotation(object, ORIGIN, Some(self.origin));
    }

    /// A failure to read something that is stored.
    pub(super) fn unreadable(&self, error: &crate::cache::DecodeError) -> Status {
        error::unreadable(error)
    }
}

/// Sets or removes an annotation.
pub(super) fn set_annotation(object: &mut Object, key: &str, value: Option<&str>) {
    if value.is_none() && object.meta("annotations").is_none() {
        return;
    }
    let annotations = object
        .metadata_mut()
        .entry("annotations")
        .or_insert(Value::Null);
    if !annotations.is_object() {
        *annotations = Value::Object(serde_json::Map::new());
    }
    let Some(map) = annotations.as_object_mut() else {
        return;
    };
    match value {
        Some(value) => {
            map.insert(key.to_owned(), value.into());
        }
        None => {
            map.remove(key);
        }
    }
    if map.is_empty() {
        object.remove_meta("annotations");
    }
}
