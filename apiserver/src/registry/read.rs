//! `get`.

use std::borrow::Cow;

use helium_apimachinery::meta::Object;
use helium_apimachinery::resource_version::{self, ReadAt};
use http::StatusCode;

use super::call::{Answer, Call};
use super::{CACHE_WAIT, error};
use crate::definitions::Special;

impl Call<'_> {
    pub(super) async fn get(&self) -> Answer {
        let stored = self.read_one().await?;
        self.respond(StatusCode::OK, &stored)
    }

    /// The object that the path names, in the request's version, as fresh as its resourceVersion asks.
    pub(super) async fn read_one(&self) -> helium_apimachinery::status::Result<Object> {
        let asked = self.query.get("resourceVersion").unwrap_or_default();
        let read_at = resource_version::read_one(asked)?;
        let relative = self.relative_key();
        let cache = &self.live.cache;
        match read_at {
            ReadAt::Any => cache
                .wait_filled(CACHE_WAIT)
                .await
                .map_err(error::unready)?,
            ReadAt::NotOlderThan(version) => {
                let wanted = error::revision(version);
                cache
                    .wait_revision(wanted, CACHE_WAIT)
                    .await
                    .map_err(error::unready)?;
            }
            _ => {
                let stored = self.read_stored(&relative).await?;
                let stored = stored.map(|object| self.view.object(&object).into_owned());
                return stored
                    .or_else(|| self.implied())
                    .ok_or_else(|| self.not_found());
            }
        }
        let (entry, _) = cache.get(&relative);
        let stored = entry.map(|entry| self.view.object(&entry.object).into_owned());
        stored
            .or_else(|| self.implied())
            .ok_or_else(|| self.not_found())
    }

    /// The stored object under a relative key, read from the store itself.
    pub(super) async fn read_stored(
        &self,
        relative: &str,
    ) -> helium_apimachinery::status::Result<Option<Object>> {
        match self.registry.store.get(&self.key(relative)).await? {
            Some(record) => Ok(Some(
                self.live
                    .decode(&record)
                    .map_err(|error| error::unreadable(&error))?,
            )),
            None => Ok(None),
        }
    }

    /// An object that exists without being stored.
    fn implied(&self) -> Option<Object> {
        (self.live.resource.special == Special::Namespace)
            .then(|| crate::namespaces::implied(&self.name))
            .flatten()
    }

    /// A stored object in the request's version.
    pub(super) fn viewed<'a>(&self, stored: &'a Object) -> Cow<'a, Object> {
        self.view.object(stored)
    }
}
