//! From an HTTP request to its answer: the layers that every request passes, in their order.
//!
//! 1. classify (verb, resource), give it an audit id, count it
//! 2. catch panics: a request that panics is a 500, the server goes on (invariant S5)
//! 3. set the deadline; of a long-running request only the head has one
//! 4. authenticate (but for a request to [`join`] the fleet, whose token is its credential); remove credentials and identity headers (S3)
//! 5. take a place among those in flight; members of `system:masters` need none
//! 6. authorize (S4)
//! 7. what is behind a control plane ([`proxy`]) is asked again, from 5 on, as what it is
//! 8. answer: health, metrics, version, discovery and OpenAPI from memory (S1), the rest by the registry
//! 9. finish: warnings, audit id, cache and indentation headers
//!
//! Compression sits outside, in [`crate::server`].

pub(crate) mod accept;
mod finish;
mod inflight;
mod join;
mod pretty;
mod proxy;
pub(crate) mod respond;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;
use helium_apimachinery::gvk::GroupResource;
use helium_apimachinery::status::{self, Attempt, Status};
use helium_telemetry::Chain;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use parking_lot::Mutex;
use prometheus_client::registry::Registry as MetricsRegistry;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error};

use crate::authn::user::MASTERS;
use crate::authn::{Authenticator, Identity, Rejection, Way, peer::Peer};
use crate::authz::{Attributes, Authorizer, Decision};
use crate::backend::{ApiRequest, Backend, Body, WarningSink};
use crate::config::Limits;
use crate::definitions::Catalog;
use crate::definitions::builtin::{ADMINISTER, HELIUM_GROUP, MEMBERS};
use crate::discovery::{self, Audience, Library};
use crate::duration;
use crate::health::Health;
use crate::members::join::gate::Gate;
use crate::metrics::Metrics;
use crate::request_info::{RequestInfo, ResourceTarget, Verb, query_values};
use crate::version;
use finish::Finish;
use inflight::{InFlight, Lane, Permit};

/// Where the served resources are read from.
#[async_trait]
pub trait CatalogSource: Send + Sync + 'static {
    /// What is served right now; from memory.
    fn catalog(&self) -> Arc<Catalog>;

    /// Makes sure that the catalog is at least as new as this call, for whoever is about to say that
    /// a group doesn't exist.
    ///
    /// # Errors
    /// A `Status` with 503 or 504 when the store can't confirm it.
    async fn confirm(&self) -> Result<(), Status>;
}

/// Everything that answers requests. Shared by all connections.
pub(crate) struct Handler {
    pub(crate) authenticator: Authenticator,
    pub(crate) authorizer: Authorizer,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) catalog: Arc<dyn CatalogSource>,
    pub(crate) library: Library,
    pub(crate) health: Health,
    pub(crate) metrics: Metrics,
    pub(crate) exposition: Arc<Mutex<MetricsRegistry>>,
    pub(crate) limits: Limits,
    pub(crate) inflight: InFlightPlaces,
    pub(crate) join: Gate,
    pub(crate) shutdown: CancellationToken,
}

/// The places for requests in flight, made from limits.
pub(crate) struct InFlightPlaces(InFlight);

impl From<&Limits> for InFlightPlaces {
    fn from(limits: &Limits) -> Self {
        Self(InFlight::new(limits))
    }
}

/// A request without its body.
struct Head<'a> {
    info: &'a RequestInfo,
    /// What lies behind a control plane's proxy, if that is what is asked for.
    behind: Option<&'a RequestInfo>,
    method: Method,
    query: String,
    headers: HeaderMap,
    warnings: &'a WarningSink,
    /// Whom documents are for, if not decided by the way the user was identified.
    audience: Option<Audience>,
}

impl Handler {
    /// Answers one request. Never fails and never panics.
    pub(crate) async fn serve<B>(&self, peer: &Peer, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let started = Instant::now();
        let (parts, body) = request.into_parts();
        let query = parts.uri.query().unwrap_or_default().to_owned();
        let info = RequestInfo::parse(&parts.method, parts.uri.path(), &query);
        let behind = proxy::behind(&info, &parts.method, &query);
        let warnings = WarningSink::default();
        let finish = Finish::new(&parts.method, &query, &parts.headers, &info);
        let current = self.metrics.current(&info);
        let head = Head {
            info: &info,
            behind: behind.as_ref(),
            method: parts.method,
            query,
            headers: parts.headers,
            warnings: &warnings,
            audience: None,
        };

        let answer = AssertUnwindSafe(self.answer_in_time(peer, head, body)).catch_unwind();
        let response = answer.await.unwrap_or_else(|panic| {
            self.metrics.panicked();
            error!(
                path = info.path,
                panic = panic_text(&*panic),
                "request panicked"
            );
            respond::status(&Status::internal(
                "this request caused apiserver to panic. Look in the logs for details",
            ))
        });

        let code = response.status().as_u16();
        let elapsed = started.elapsed();
        self.metrics
            .answered(&info, &self.catalog.catalog(), code, elapsed);
        let ending = info
            .is_long_running()
            .then(|| (self.shutdown.clone(), current));
        let (response, audit_id) = finish.apply(response, &warnings, ending).await;
        debug!(
            audit_id, verb = %info.verb, path = info.path, code,
            elapsed_ms = elapsed.as_secs_f64() * 1e3, "request answered"
        );
        response
    }

    async fn answer_in_time<B>(&self, peer: &Peer, head: Head<'_>, body: B) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        // Of a long-running request only the head is timed; its `timeout`, if any, is the client's own.
        let asked = if head.behind.unwrap_or(head.info).is_long_running() {
            ""
        } else {
            head.query.as_str()
        };
        let deadline = match deadline(asked, self.limits.request_timeout) {
            Ok(deadline) => deadline,
            Err(failure) => return respond::status(&failure),
        };
        match tokio::time::timeout(deadline, self.answer(peer, head, body)).await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => respond::status(&failure),
            Err(_) => respond::status(&Status::timeout(
                "request did not complete within the allotted timeout",
                0,
            )),
        }
    }

    async fn answer<B>(
        &self,
        peer: &Peer,
        mut head: Head<'_>,
        body: B,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        if join::is_join(&head.info.path) {
            return self.answer_join(peer, &head, body).await;
        }
        let identity = self.authenticate(peer, &mut head).await?;
        let _place = self.enter(&identity, head.info)?;
        let catalog = self.catalog.catalog();
        self.authorize(&identity, &head, &catalog).await?;
        if let Some(behind) = head.behind {
            return self.answer_behind(behind, identity, head, body).await;
        }
        match &head.info.target {
            Some(target) => {
                self.answer_resource(target.clone(), identity, head, body)
                    .await
            }
            None => Ok(self.answer_path(&identity, &head, &catalog).await),
        }
    }

    async fn authenticate(&self, peer: &Peer, head: &mut Head<'_>) -> Result<Identity, Status> {
        let outcome = self
            .authenticator
            .authenticate(peer, &mut head.headers)
            .await;
        self.metrics.authenticated(outcome.is_ok());
        outcome.map_err(|rejection| {
            debug!(%rejection, peer = ?peer.address(), "request not authenticated");
            match rejection {
                Rejection::Unauthorized(_) => Status::unauthorized(),
                Rejection::Impersonation => {
                    Status::forbidden(&GroupResource::default(), "", rejection)
                }
            }
        })
    }

    /// Takes a place for the request. Answers from memory are cheap and must always be had, so
    /// they need none.
    fn enter(&self, identity: &Identity, info: &RequestInfo) -> Result<Option<Permit>, Status> {
        let counted = info.target.is_some() && !info.is_long_running();
        if !counted || identity.user.is_in_group(MASTERS) {
            return Ok(None);
        }
        self.inflight
            .0
            .enter(Lane::of(info))
            .map(Some)
            .map_err(|_full| {
                Status::too_many_requests("Too many requests, please try again later.", 1)
            })
    }

    async fn authorize(
        &self,
        identity: &Identity,
        head: &Head<'_>,
        catalog: &Catalog,
    ) -> Result<(), Status> {
        let info = head.info;
        let mut selectors = [String::new(), String::new()];
        if matches!(info.verb, Verb::List | Verb::Watch | Verb::DeleteCollection) {
            for (selector, name) in selectors.iter_mut().zip(["fieldSelector", "labelSelector"]) {
                *selector = query_values(&head.query, name).next().unwrap_or_default();
            }
        }
        let target = info.target.as_ref();
        let resource = target.and_then(|target| catalog.find(&target.group, &target.resource));
        let path_group = target.map_or("", |target| target.group.as_str());
        let path_resource = target.map_or("", |target| target.resource.as_str());
        let attributes = Attributes {
            user: &identity.user,
            info,
            group: resource.map_or(path_group, |resource| resource.home_group.as_str()),
            resource: resource.map_or(path_resource, |resource| resource.home_plural.as_str()),
            field_selector: &selectors[0],
            label_selector: &selectors[1],
        };
        match self.decide(&attributes).await? {
            Decision::Allowed => {
                self.metrics.authorized("allowed");
                Ok(())
            }
            Decision::Denied(reason) => {
                self.metrics.authorized("denied");
                Err(denial(&attributes, &reason))
            }
        }
    }

    /// Asks the authorizer; that it can't tell is an error of this server.
    async fn decide(&self, attributes: &Attributes<'_>) -> Result<Decision, Status> {
        self.authorizer
            .authorize(attributes)
            .await
            .map_err(|failure| {
                self.metrics.authorized("error");
                tracing::warn!(error = %Chain(&failure), "authorization failed");
                Status::internal(failure)
            })
    }

    async fn answer_resource<B>(
        &self,
        target: ResourceTarget,
        identity: Identity,
        head: Head<'_>,
        body: B,
    ) -> Result<Response<Body>, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        if let Verb::Other(_) = head.info.verb {
            let resource = GroupResource::new(target.group, target.resource);
            let action = head.method.as_str().to_ascii_lowercase();
            return Err(Status::method_not_allowed(&resource, &action));
        }
        let body = self.read(body, self.limits.max_body_bytes).await?;
        if !self.backend.is_started() {
            return Ok(respond::starting());
        }
        let administers = self.administers(&identity, &target, &head).await?;
        let request = ApiRequest {
            verb: head.info.verb.clone(),
            target,
            administers,
            user: identity.user,
            query: head.query,
            headers: head.headers,
            body,
            warnings: head.warnings.clone(),
        };
        Ok(self.backend.handle(request).await)
    }

    /// Whether a user who writes a member may decide who belongs to the fleet, which is more than keeping one's own member.
    async fn administers(
        &self,
        identity: &Identity,
        target: &ResourceTarget,
        head: &Head<'_>,
    ) -> Result<bool, Status> {
        let decides = matches!(head.info.verb, Verb::Create | Verb::Update | Verb::Patch)
            && target.group == HELIUM_GROUP
            && target.resource == MEMBERS
            && target.subresource.is_none();
        if !decides {
            return Ok(false);
        }
        let info = RequestInfo {
            verb: Verb::Other(ADMINISTER.to_owned()),
            ..head.info.clone()
        };
        let attributes = Attributes {
            user: &identity.user,
            info: &info,
            group: HELIUM_GROUP,
            resource: MEMBERS,
            field_selector: "",
            label_selector: "",
        };
        Ok(matches!(self.decide(&attributes).await?, Decision::Allowed))
    }

    /// Reads the whole body, but not more than is allowed.
    async fn read<B>(&self, body: B, limit: usize) -> Result<Bytes, Status>
    where
        B: http_body::Body<Data = Bytes> + Send,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let body = std::pin::pin!(Limited::new(body, limit));
        match body.collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Status::too_large(format_args!("limit is {limit}")))
            }
            Err(error) => Err(Status::bad_request(format!(
                "error reading the request body: {error}"
            ))),
        }
    }

    async fn answer_path(
        &self,
        identity: &Identity,
        head: &Head<'_>,
        catalog: &Catalog,
    ) -> Response<Body> {
        let path = head.info.path.as_str();
        let trimmed = path.trim_end_matches('/');
        if !matches!(head.method, Method::GET | Method::HEAD) {
            let known = [
                "",
                "/version",
                "/metrics",
                "/api",
                "/apis",
                "/openapi/v2",
                "/openapi/v3",
            ];
            return match known.contains(&trimmed) {
                true => respond::text(StatusCode::METHOD_NOT_ALLOWED, "405 method not allowed\n"),
                false if catalog.synced() => respond::page_not_found(),
                false => respond::starting(),
            };
        }
        if let Some(response) = self.health.answer(path, &head.query).await {
            return response;
        }
        match trimmed {
            "/version" => {
                let body = version::document().to_string();
                return respond::bytes(StatusCode::OK, respond::JSON, body);
            }
            "/metrics" => return self.answer_metrics(),
            _ => {}
        }
        let audience = head.audience.unwrap_or(match identity.way {
            Way::FrontProxy => Audience::Aggregator,
            Way::Certificate | Way::Token | Way::Anonymous => Audience::Direct,
        });
        match self.answer_documents(catalog, audience, head) {
            Some(response) => response,
            // A group that another instance has just declared must not be denied (an aggregator
            // would take the group out of service), so the catalog is confirmed first.
            None if discovery::names_group(path) => match self.catalog.confirm().await {
                Ok(()) => self
                    .answer_documents(&self.catalog.catalog(), audience, head)
                    .unwrap_or_else(respond::page_not_found),
                Err(failure) => respond::status(&failure),
            },
            None => respond::page_not_found(),
        }
    }

    /// Answers from the documents about what is served, or not at all.
    fn answer_documents(
        &self,
        catalog: &Catalog,
        audience: Audience,
        head: &Head<'_>,
    ) -> Option<Response<Body>> {
        let path = head.info.path.as_str();
        let Some(documents) = self.library.current(catalog, audience) else {
            return Some(respond::starting());
        };
        if path.trim_end_matches('/').is_empty() {
            return Some(index(documents.paths()));
        }
        documents
            .answer(path, &head.headers)
            .or_else(|| documents.openapi.answer(path, &head.query, &head.headers))
    }

    fn answer_metrics(&self) -> Response<Body> {
        match helium_telemetry::metrics::encode(&self.exposition.lock()) {
            Ok(text) => {
                let content_type =
                    http::HeaderValue::from_static(helium_telemetry::metrics::CONTENT_TYPE);
                respond::bytes(StatusCode::OK, content_type, text)
            }
            Err(error) => respond::status(&Status::internal(error)),
        }
    }
}

/// The paths that there are, at `/`.
fn index(mut paths: Vec<String>) -> Response<Body> {
    let fixed = [
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    paths.extend(fixed.map(str::to_owned));
    paths.sort();
    let body = serde_json::json!({ "paths": paths }).to_string();
    respond::bytes(StatusCode::OK, respond::JSON, body)
}

fn denial(attributes: &Attributes<'_>, reason: &str) -> Status {
    let (user, verb) = (attributes.user.name.as_str(), attributes.info.verb.as_str());
    let Some(target) = &attributes.info.target else {
        return status::denied_path(user, verb, &attributes.info.path, reason);
    };
    let attempt = Attempt {
        user,
        verb,
        resource: GroupResource::new(attributes.group, attributes.resource),
        subresource: target.subresource.as_deref().unwrap_or_default(),
        namespace: target.namespace.as_deref().unwrap_or_default(),
        name: target.name.as_deref().unwrap_or_default(),
    };
    attempt.denied(reason)
}

/// The time that a request may take: the server's limit, or less if the client asks for less.
fn deadline(query: &str, limit: Duration) -> Result<Duration, Status> {
    let Some(wanted) = query_values(query, "timeout")
        .next()
        .filter(|text| !text.is_empty())
    else {
        return Ok(limit);
    };
    match duration::parse(&wanted) {
        Some(wanted) if wanted.is_zero() => Ok(limit),
        Some(wanted) => Ok(wanted.min(limit)),
        None => Err(Status::bad_request(
            "invalid timeout specified in the request URL",
        )),
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("a value that isn't text")
}
