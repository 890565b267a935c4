//! What a cluster is answered that leaves a namespace, and how it comes back.

use std::time::Duration;

use helium_apimachinery::Status;
use helium_apimachinery::status::{self, Result};
use http::StatusCode;
use jiff::Timestamp;

use super::Registry;
use super::call::{Answer, Call};
use super::collection::Freshness;
use super::error;
use super::render::{self, ListMeta};
use crate::definitions::NamespaceDeletion;
use crate::departures::HomeObjects;
use crate::request_info::Verb;

/// Why a namespace stays.
const BLOCKED: &str = "the definition's policy namespaceDeletion: Block keeps shared objects in the namespace; delete them first";
/// How long a store that isn't known to be down is waited for, before the cluster is answered without it.
const STORE_BOUND: Duration = Duration::from_secs(2);

impl Registry {
    /// Whether it may ever matter that the cluster has left a namespace: something is shared in it, or a kind is served whose
    /// objects go when all have left.
    fn departure_matters(&self, namespace: &str) -> bool {
        let scope = format!("{namespace}/");
        let live = self.live.load();
        let mut namespaced = live
            .values()
            .filter(|live| live.resource.definition.scope.is_namespaced());
        namespaced.any(|live| {
            live.resource.sharing.namespace_deletion == NamespaceDeletion::Cascade
                || !live.cache.is_filled()
                || !live.cache.snapshot(&scope, None).entries.is_empty()
        })
    }
}

impl Call<'_> {
    /// The cluster's namespace controller deletes shared objects: the cluster leaves, and the objects stay for now.
    pub(super) fn leave(&self) -> Answer {
        let registry = self.registry;
        if self.request.verb != Verb::List && registry.departure_matters(&self.namespace) {
            registry.departures.leave(&self.namespace);
        }
        self.nothing_there()
    }

    /// The cluster's namespace controller deletes the cluster's own objects. Without the store that is promised, and
    /// counts as done. `sure` says that the caller is the namespace controller and nothing else.
    pub(super) async fn take_home(&self, sure: bool) -> Answer {
        let mut failure = error::unreachable();
        if self.registry.is_confirmed() && self.store_answers().await {
            let answer = match self.request.verb {
                Verb::List => self.list().await,
                Verb::Delete => self.delete().await,
                _ => self.delete_collection().await,
            };
            match answer {
                Err(status) if matches!(status.code(), 503 | 504) => failure = status,
                answer => return answer,
            }
        }
        let departures = &self.registry.departures;
        let resource = &self.live.resource;
        let is_list = self.request.verb == Verb::List;
        if is_list
            && departures.has_promised(&resource.home_group, resource.plural(), &self.namespace)
        {
            return self.nothing_there();
        }
        // Whoever lists may want to know; only the namespace controller lists to see whether all is gone.
        if (is_list && !sure) || (!is_list && self.delete_options()?.dry_run) {
            return Err(failure);
        }
        departures.promise(self.home_objects()?).await?;
        self.nothing_there()
    }

    /// The cluster's namespace controller meets objects that keep the namespace: they are shown, and not deleted. Without the
    /// store, what is remembered counts: a namespace of which nothing is known goes, and no object with it.
    pub(super) async fn block(&self) -> Answer {
        if self.registry.is_confirmed() && self.store_answers().await {
            match self.make_cache_fresh().await {
                Ok(()) | Err(Freshness::Failed(_)) => {}
                Err(Freshness::Lagging) => return Err(error::lagging()),
            }
        }
        let filter = self.filter()?;
        let entries = self.cached(&filter).0;
        let there = entries
            .iter()
            .any(|entry| self.name.is_empty() || entry.object.name() == self.name);
        if !there {
            return self.nothing_there();
        }
        if self.request.verb == Verb::List {
            return self.list_cached(&filter, 0);
        }
        Err(Status::forbidden(
            &self.group_resource(),
            &self.name,
            BLOCKED,
        ))
    }

    async fn store_answers(&self) -> bool {
        let store = &self.registry.store;
        if store.is_silent() {
            return false;
        }
        let probe = store.current_revision(self.live.cache.prefix());
        matches!(tokio::time::timeout(STORE_BOUND, probe).await, Ok(Ok(_)))
    }

    /// The cluster's own objects that the request is about, as far as they are known.
    fn home_objects(&self) -> Result<HomeObjects> {
        let filter = self.filter()?;
        let cache = &self.live.cache;
        let known = cache.is_filled().then(|| {
            let entries = self.cached(&filter).0;
            let meant = entries
                .iter()
                .filter(|entry| self.name.is_empty() || entry.object.name() == self.name);
            meant
                .map(|entry| (entry.object.name().to_owned(), entry.revision))
                .collect()
        });
        let resource = &self.live.resource;
        Ok(HomeObjects {
            group: resource.home_group.clone(),
            resource: resource.plural().to_owned(),
            namespace: self.namespace.clone(),
            time: Timestamp::now(),
            known,
        })
    }

    /// Success, and an empty list.
    pub(super) fn nothing_there(&self) -> Answer {
        match self.request.verb {
            Verb::Delete => {
                let body = status::deleted(&self.group_resource(), &self.name, "");
                render::document(StatusCode::OK, self.output.encoding, &body)
            }
            _ => {
                let meta = ListMeta {
                    revision: self.live.cache.revision(),
                    ..ListMeta::default()
                };
                render::list(self.output, &self.view, &[], &meta)
            }
        }
    }

    /// Before a write into a namespace: the cluster is there, whatever was recorded. What controllers of the cluster do by
    /// themselves doesn't count.
    pub(super) async fn come_back(&self) -> std::result::Result<(), Status> {
        let registry = self.registry;
        if self.namespace.is_empty() || registry.guard.knows(&self.request.user) {
            return Ok(());
        }
        registry.departures.return_to(&self.namespace).await
    }
}
