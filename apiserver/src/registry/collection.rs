//! `list`: from the cache as long as it can show the state asked for, from the store's history otherwise.

use std::borrow::Cow;
use std::sync::Arc;

use helium_apimachinery::Status;
use helium_apimachinery::continue_token::Continue;
use helium_apimachinery::meta::Object;
use helium_apimachinery::options::ListOptions;
use helium_apimachinery::resource_version::ReadAt;
use helium_apimachinery::status::Result;

use super::call::{Answer, Call};
use super::render::{self, Item, ListMeta};
use super::{CACHE_WAIT, error};
use crate::cache::{Entry, Unready};
use crate::definitions::Special;
use crate::storage::Error;

/// Records that are read from the store at once when no limit says less.
const PAGE: i64 = 1_000;

/// Which objects of a collection are meant.
pub(super) struct Filter {
    /// Beginning of their relative keys.
    pub(super) scope: String,
    options: ListOptions,
}

impl Filter {
    /// Whether an object is among them, by its key and selectors.
    pub(super) fn matches(&self, key: &str, object: &Object) -> bool {
        key.starts_with(&self.scope) && self.selects(object)
    }

    fn selects(&self, object: &Object) -> bool {
        let labels = object.meta("labels").and_then(|labels| labels.as_object());
        self.options.label_selector.matches(labels) && self.options.field_selector.matches(object)
    }

    fn selects_everything(&self) -> bool {
        self.options.label_selector.is_everything() && self.options.field_selector.is_everything()
    }

    pub(super) fn options(&self) -> &ListOptions {
        &self.options
    }
}

/// Objects read past the cache.
struct StoredList {
    objects: Vec<Object>,
    meta: ListMeta,
}

impl Call<'_> {
    /// The options of a list, watch or deletecollection, checked against the resource.
    pub(super) fn filter(&self) -> Result<Filter> {
        let options = ListOptions::from_query(&self.query)?;
        let served = &self.view.served;
        options
            .field_selector
            .check_supported(served.scope, &served.selectable_fields)?;
        Ok(Filter {
            scope: self.scope(),
            options,
        })
    }

    pub(super) async fn list(&self) -> Answer {
        let filter = self.filter()?;
        let limit = i64::try_from(filter.options.limit).unwrap_or(i64::MAX);
        match filter.options.read_at()? {
            ReadAt::Any => {
                self.live
                    .cache
                    .wait_filled(CACHE_WAIT)
                    .await
                    .map_err(error::unready)?;
                self.list_cached(&filter, 0)
            }
            ReadAt::Latest => match self.make_cache_fresh().await {
                Ok(()) => self.list_cached(&filter, limit),
                // The store answers, but its watch lags: read past the cache.
                Err(Freshness::Lagging) => self.list_stored(&filter, None, limit).await,
                Err(Freshness::Failed(status)) => Err(status),
            },
            ReadAt::NotOlderThan(version) => {
                let wanted = error::revision(version);
                let cache = &self.live.cache;
                cache
                    .wait_revision(wanted, CACHE_WAIT)
                    .await
                    .map_err(error::unready)?;
                self.list_cached(&filter, limit)
            }
            ReadAt::Exact(version) => {
                let at = Some((None, error::revision(version)));
                self.list_stored(&filter, at, limit).await
            }
            ReadAt::Continue(token) => self.list_continued(&filter, &token, limit).await,
        }
    }

    /// Brings the cache to the store's present, so that what it shows is a linearizable read.
    pub(super) async fn make_cache_fresh(&self) -> std::result::Result<(), Freshness> {
        let cache = &self.live.cache;
        let current = self.registry.store.current_revision(cache.prefix()).await;
        let current = current.map_err(|error| Freshness::Failed(error.into()))?;
        match cache.wait_revision(current, CACHE_WAIT).await {
            Ok(()) => Ok(()),
            Err(Unready::Behind { .. } | Unready::Loading) => Err(Freshness::Lagging),
        }
    }

    /// All entries that the filter means, from the cache, with the cache's revision.
    pub(super) fn cached(&self, filter: &Filter) -> (Vec<Arc<Entry>>, i64) {
        let snapshot = self.live.cache.snapshot(&filter.scope, None);
        let mut entries = snapshot.entries;
        if self.live.resource.special == Special::Namespace {
            self.registry.add_implied_namespaces(&mut entries);
        }
        if !filter.selects_everything() {
            entries.retain(|entry| filter.selects(&entry.object));
        }
        (entries, snapshot.revision)
    }

    pub(super) fn list_cached(&self, filter: &Filter, limit: i64) -> Answer {
        let (mut entries, revision) = self.cached(filter);
        let mut meta = ListMeta {
            revision,
            ..ListMeta::default()
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        if limit > 0 && entries.len() > limit {
            if filter.selects_everything() {
                meta.remaining = i64::try_from(entries.len() - limit).ok();
            }
            entries.truncate(limit);
            let last = entries.last().map(|entry| self.key(&entry.key));
            meta.continue_token =
                last.map(|key| self.token(filter, &key, Some(revision.unsigned_abs())));
        }
        let items: Vec<_> = entries
            .iter()
            .map(|entry| Item {
                object: self.view.object(&entry.object),
                json: Some(self.view.json(entry)),
            })
            .collect();
        render::list(self.output, &self.view, &items, &meta)
    }

    async fn list_continued(&self, filter: &Filter, token: &str, limit: i64) -> Answer {
        let token = Continue::decode(token, &self.full_scope(filter))?;
        let start = token.start_key.clone();
        let revision = token.revision.map_or(0, error::revision);
        match self
            .list_stored(filter, Some((Some(start), revision)), limit)
            .await
        {
            Err(status) if revision > 0 && status.code() == 410 => {
                let fresh = Continue {
                    start_key: token.start_key,
                    revision: None,
                };
                Err(Status::expired_continue(Some(
                    &fresh.encode(&self.full_scope(filter)),
                )))
            }
            answer => answer,
        }
    }

    /// Lists past the cache: from a full key on, as of a revision (0 = now).
    async fn list_stored(
        &self,
        filter: &Filter,
        at: Option<(Option<String>, i64)>,
        limit: i64,
    ) -> Answer {
        let (start, revision) = at.unwrap_or((None, 0));
        let list = match self.read_pages(filter, start, revision, limit).await {
            Ok(list) => list,
            Err(Error::FutureRevision) => {
                return Err(error::too_large_version(
                    revision,
                    self.live.cache.revision(),
                ));
            }
            Err(error) => return Err(error.into()),
        };
        let items: Vec<_> = list
            .objects
            .iter()
            .map(|object| Item {
                object: Cow::Borrowed(object),
                json: None,
            })
            .collect();
        render::list(self.output, &self.view, &items, &list.meta)
    }

    async fn read_pages(
        &self,
        filter: &Filter,
        start: Option<String>,
        mut revision: i64,
        limit: i64,
    ) -> crate::storage::Result<StoredList> {
        let scope = self.full_scope(filter);
        let mut start = start.map(String::into_bytes);
        let mut list = StoredList {
            objects: Vec::new(),
            meta: ListMeta::default(),
        };
        // With selectors a page may hold few that count: read more than asked for.
        let page_size = match limit {
            0 => PAGE,
            limit if filter.selects_everything() => limit.min(PAGE),
            limit => limit.saturating_mul(4).min(PAGE),
        };
        loop {
            let store = &self.registry.store;
            let page = store
                .page(&scope, start.as_deref(), page_size, revision)
                .await?;
            revision = page.revision;
            list.meta.revision = revision;
            for (at, record) in page.records.iter().enumerate() {
                let object = self
                    .live
                    .decode(record)
                    .ok()
                    .filter(|object| filter.selects(object));
                if let Some(object) = object {
                    list.objects.push(self.view.object(&object).into_owned());
                }
                let full = limit > 0 && list.objects.len() as i64 >= limit;
                let behind = (page.records.len() - at - 1) as i64 + page.remaining;
                if full && behind > 0 {
                    let key = String::from_utf8_lossy(&record.key).into_owned();
                    let shown = Some(revision.unsigned_abs());
                    list.meta.continue_token = Some(self.token(filter, &key, shown));
                    list.meta.remaining = filter.selects_everything().then_some(behind);
                    return Ok(list);
                }
            }
            if page.remaining == 0 {
                return Ok(list);
            }
            start = page
                .records
                .last()
                .map(|record| [&record.key[..], b"\0"].concat());
        }
    }

    fn full_scope(&self, filter: &Filter) -> String {
        self.key(&filter.scope)
    }

    fn token(&self, filter: &Filter, last_key: &str, revision: Option<u64>) -> String {
        Continue::after(last_key, revision).encode(&self.full_scope(filter))
    }
}

/// Why a cache can't show the present.
pub(super) enum Freshness {
    /// The store answers, the cache has not caught up.
    Lagging,
    /// The store doesn't answer.
    Failed(Status),
}
