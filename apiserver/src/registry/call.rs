//! One request, resolved: which resource and version, which object, what to answer in.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use helium_apimachinery::crd::DefinitionVersion;
use helium_apimachinery::meta::Object;
use helium_apimachinery::options::Query;
use helium_apimachinery::{GroupKind, GroupResource, Status};
use http::{Response, StatusCode, header};

use super::live::{Live, View};
use super::negotiate::{Output, negotiate};
use super::{Registry, render};
use crate::backend::{ApiRequest, Body};
use crate::definitions::Special;
use crate::guard::Verdict;
use crate::request_info::Verb;
use crate::storage::Prefix;

/// What every verb answers with.
pub(super) type Answer = Result<Response<Body>, Status>;

/// One request for a resource that is served.
pub(super) struct Call<'r> {
    pub(super) registry: &'r Registry,
    pub(super) request: &'r ApiRequest,
    /// The cluster that the request comes through, or that the server acts for.
    pub(super) origin: &'r str,
    pub(super) live: Arc<Live>,
    pub(super) view: Arc<View>,
    pub(super) query: Query,
    /// Namespace of the path; empty for none.
    pub(super) namespace: String,
    /// Object name of the path; empty for none.
    pub(super) name: String,
    pub(super) output: Output,
    /// The revision of the members that the write was judged by; 0 where they don't matter.
    pub(super) members_judged_at: AtomicI64,
}

impl<'r> Call<'r> {
    /// Resolves a request. `None`: the path means nothing, though the resource exists.
    pub(super) fn new(
        registry: &'r Registry,
        live: Arc<Live>,
        request: &'r ApiRequest,
    ) -> Result<Option<Self>, Status> {
        let target = &request.target;
        let Some(view) = live.view(&target.version).cloned() else {
            return Ok(None);
        };
        let namespaced = live.resource.definition.scope.is_namespaced();
        // The path of a namespace names it twice.
        let namespace = match live.resource.special {
            Special::Namespace => String::new(),
            _ => target.namespace.clone().unwrap_or_default(),
        };
        let named = target.name.as_ref().filter(|_| target.name_in_path);
        let name = named.cloned().unwrap_or_default();
        let across = matches!(request.verb, Verb::List | Verb::Watch);
        let fits = if namespaced {
            !namespace.is_empty() || across
        } else {
            namespace.is_empty()
        };
        if !fits || !is_segment(&namespace) || !is_segment(&name) || !target.rest.is_empty() {
            return Ok(None);
        }
        let query = Query::parse(&request.query);
        let accept: Vec<_> = request
            .headers
            .get_all(header::ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .collect();
        let output = negotiate(&accept.join(","), &query, request.verb == Verb::Watch)?;
        Ok(Some(Self {
            registry,
            request,
            origin: &registry.cluster,
            live,
            view,
            query,
            namespace,
            name,
            output,
            members_judged_at: AtomicI64::new(0),
        }))
    }

    /// Answers the request.
    pub(super) async fn run(&self) -> Answer {
        if let Some(warning) = &self.view.served.deprecation {
            self.request.warnings.add(warning.clone());
        }
        match self.registry.guard.judge(self.request, &self.live.resource) {
            Verdict::Pass => {}
            Verdict::Leaves => return self.leave(),
            Verdict::TakesHome { sure } => return self.take_home(sure).await,
            Verdict::Blocks => return self.block().await,
        }
        self.check_writer()?;
        let subresource = self.request.target.subresource.as_deref();
        if subresource.is_none() && !self.view.serves(&self.request.verb) {
            return Err(self.not_allowed(&self.request.verb));
        }
        match (&self.request.verb, subresource) {
            (Verb::Get, None) => self.get().await,
            (Verb::List, None) => self.list().await,
            (Verb::Watch, None) => self.watch().await,
            (Verb::Create, None) => self.create().await,
            (Verb::Update, None) => self.replace(false).await,
            (Verb::Patch, None) => self.patch(false).await,
            (Verb::Delete, None) => self.delete().await,
            (Verb::DeleteCollection, None) => self.delete_collection().await,
            (verb, Some("status")) if self.version().has_status => match verb {
                Verb::Get => self.get().await,
                Verb::Update => self.replace(true).await,
                Verb::Patch => self.patch(true).await,
                verb => Err(self.not_allowed(verb)),
            },
            (verb, Some("scale")) if self.version().scale.is_some() => match verb {
                Verb::Get => self.get_scale().await,
                Verb::Update => self.replace_scale().await,
                Verb::Patch => self.patch_scale().await,
                verb => Err(self.not_allowed(verb)),
            },
            (_, Some(_)) => Err(Status::not_found(&self.group_resource(), &self.name)),
            (verb, None) => Err(self.not_allowed(verb)),
        }
    }

    /// Refuses a write through a cluster that the kind's policy doesn't let write there.
    fn check_writer(&self) -> Result<(), Status> {
        let writers = &self.live.resource.writers;
        let (cluster, namespace) = (self.registry.cluster.as_str(), self.namespace.as_str());
        if !self.request.verb.is_mutating() || writers.allow(cluster, namespace) {
            return Ok(());
        }
        let resource = self.group_resource();
        let place = if namespace.is_empty() {
            "objects without a namespace".to_owned()
        } else {
            format!("namespace {namespace:?}")
        };
        let others = match writers.of(namespace).as_slice() {
            [] => "through no cluster".to_owned(),
            clusters => format!("only through {}", clusters.join(", ")),
        };
        let why = format!(
            "the definition {resource} lets {place} be written {others} (spec.sharing.clusters.writers), and this is cluster {cluster}"
        );
        Err(Status::forbidden(&resource, &self.name, why))
    }

    fn not_allowed(&self, verb: &Verb) -> Status {
        Status::method_not_allowed(&self.group_resource(), verb.as_str())
    }

    pub(super) fn version(&self) -> &DefinitionVersion {
        self.view.version()
    }

    pub(super) fn group_resource(&self) -> GroupResource {
        self.live.group_resource()
    }

    pub(super) fn group_kind(&self) -> GroupKind {
        self.view.served.gvk.group_kind()
    }

    pub(super) fn not_found(&self) -> Status {
        Status::not_found(&self.group_resource(), &self.name)
    }

    /// The relative key of the object that the path names.
    pub(super) fn relative_key(&self) -> String {
        self.relative_key_of(&self.name)
    }

    /// The relative key of an object in the path's namespace.
    pub(super) fn relative_key_of(&self, name: &str) -> String {
        let namespace = (!self.namespace.is_empty()).then_some(self.namespace.as_str());
        Prefix::relative(namespace, name)
    }

    /// The full key of a relative one.
    pub(super) fn key(&self, relative: &str) -> String {
        self.live.cache.prefix().key(relative)
    }

    /// The beginning of the relative keys that the path's namespace has.
    pub(super) fn scope(&self) -> String {
        if self.namespace.is_empty() {
            String::new()
        } else {
            format!("{}/", self.namespace)
        }
    }

    pub(super) fn respond(&self, code: StatusCode, object: &Object) -> Answer {
        let shown = self.view.show(Cow::Borrowed(object));
        render::object(code, self.output, &self.view, &shown)
    }
}

/// Whether a decoded path segment can be part of a key. Empty means that there is none.
fn is_segment(text: &str) -> bool {
    !text.contains(['/', '%', '\0']) && !matches!(text, "." | "..")
}
