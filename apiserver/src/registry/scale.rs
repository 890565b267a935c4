//! `/scale`: an object seen as `autoscaling/v1` Scale.

use helium_apimachinery::crd::Scale;
use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::jsonpath::JsonPath;
use helium_apimachinery::meta::Object;
use helium_apimachinery::metadata_rules::{self, UpdateTarget};
use helium_apimachinery::options::WriteOptions;
use helium_apimachinery::status::Result;
use helium_apimachinery::{GroupKind, GroupVersionKind, Status, json};
use http::{StatusCode, header};
use serde_json::{Value, json};

use super::call::{Answer, Call};
use super::render;

impl Call<'_> {
    pub(super) async fn get_scale(&self) -> Answer {
        let object = self.read_one().await?;
        self.respond_scale(&object)
    }

    pub(super) async fn replace_scale(&self) -> Answer {
        let options = WriteOptions::for_update(&self.query)?;
        let media = self.request.headers.get(header::CONTENT_TYPE);
        let media = media
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let decoded = json::decode_body(media, &self.request.body)?;
        let (mut scale, _) = json::into_object(decoded.value, &scale_kind())?;
        metadata_rules::check_identity(&mut scale, &self.name, &self.namespace)?;
        let change = |current: &Object| self.scaled(current, &scale);
        self.write_scale(options, change).await
    }

    pub(super) async fn patch_scale(&self) -> Answer {
        let (patch, options) = self.decode_patch()?;
        let change = |current: &Object| {
            let patched = patch.apply(&self.scale_of(current)?)?;
            let (mut scale, _) = json::into_object(patched, &scale_kind())?;
            metadata_rules::check_identity(&mut scale, &self.name, &self.namespace)?;
            self.scaled(current, &scale)
        };
        self.write_scale(options, change).await
    }

    async fn write_scale(
        &self,
        options: WriteOptions,
        change: impl Fn(&Object) -> Result<Object> + Sync,
    ) -> Answer {
        let target = UpdateTarget::Main {
            has_status: self.version().has_status,
        };
        let updated = self.modify(options.dry_run, target, change).await?;
        self.respond_scale(&updated)
    }

    fn respond_scale(&self, object: &Object) -> Answer {
        let scale = self.scale_of(object)?;
        render::document(StatusCode::OK, self.output.encoding, &scale)
    }

    fn paths(&self) -> Result<&Scale> {
        self.version()
            .scale
            .as_ref()
            .ok_or_else(|| self.not_found())
    }

    /// An object's Scale.
    fn scale_of(&self, object: &Object) -> Result<Value> {
        let paths = self.paths()?;
        let mut metadata = json!({"name": object.name()});
        for field in ["namespace", "uid", "resourceVersion", "creationTimestamp"] {
            if let Some(value) = object.meta(field) {
                metadata[field] = value.clone();
            }
        }
        let number = |path: &JsonPath| {
            first(path, object)
                .and_then(Value::as_i64)
                .unwrap_or_default()
        };
        let mut status = json!({"replicas": number(&paths.status_replicas_path)});
        let selector = paths
            .label_selector_path
            .as_ref()
            .and_then(|path| first(path, object));
        if let Some(selector) = selector
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
        {
            status["selector"] = selector.into();
        }
        Ok(json!({
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": metadata,
            "spec": {"replicas": number(&paths.spec_replicas_path)},
            "status": status,
        }))
    }

    /// The object with the number of replicas that a Scale wants.
    fn scaled(&self, current: &Object, scale: &Object) -> Result<Object> {
        let wanted = scale
            .get_path(&["spec", "replicas"])
            .unwrap_or(&Value::Null);
        let spec = Path::new("spec");
        let path = spec.child("replicas");
        let replicas = match wanted {
            // Left out means none, as the zero value of the field.
            Value::Null => 0,
            value => value
                .as_i64()
                .filter(|n| i32::try_from(*n).is_ok())
                .ok_or_else(|| {
                    Status::bad_request(format!("spec.replicas: {value} is not a 32-bit integer"))
                })?,
        };
        if replicas < 0 {
            let error = FieldError::invalid(&path, replicas, "should be a non-negative integer");
            return Err(self.invalid_scale(&ErrorList::from(error)));
        }
        let mut object = current.clone();
        object.set_resource_version(scale.resource_version());
        if !scale.uid().is_empty() {
            object.set_meta("uid", scale.uid());
        }
        let target = &self.paths()?.spec_replicas_path;
        if !object.with_value_mut(|value| target.set(value, replicas.into())) {
            let error = FieldError::invalid(&path, replicas, "the object has no place for it");
            return Err(self.invalid_scale(&ErrorList::from(error)));
        }
        if object.resource_version().is_empty() {
            // Without a version the change applies to whatever is there.
            object.set_resource_version(current.resource_version());
        }
        Ok(object)
    }

    fn invalid_scale(&self, errors: &ErrorList) -> Status {
        Status::invalid(&GroupKind::new("autoscaling", "Scale"), &self.name, errors)
    }
}

fn scale_kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

fn first<'a>(path: &JsonPath, object: &'a Object) -> Option<&'a Value> {
    path.find(object.as_value()).into_iter().next()
}
