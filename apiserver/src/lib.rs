//! An aggregated Kubernetes API server whose state is in a shared etcd v3 endpoint.
//!
//! One instance runs in each cluster and is told that cluster's name; the instances share nothing
//! but the store. A request passes through these layers, outermost first:
//!
//! ```text
//! server     accept, TLS, HTTP/2 and HTTP/1.1, peer certificate
//! handler    panic catch, audit id, in-flight limits, body limit, time-out, compression
//! authn      who is asking: front-proxy headers, client certificate, bearer token, nobody
//! authz      may they: system:masters, always-allowed paths, SubjectAccessReview
//! discovery, openapi, health, version, metrics      answered from memory
//! registry   everything else: create, get, list, watch, update, patch, delete
//! ```
//!
//! Invariants of the server half (the registry, cache and definitions have their own):
//! - **S1** Discovery, OpenAPI and health never touch the store: a server whose store is down goes on
//!   answering them, because the host cluster's namespace deletion depends on it.
//! - **S2** Until everything is installed, unknown paths are 503 with `Retry-After`, never 404: a 404 tells
//!   a garbage collector that the kind does not exist.
//! - **S3** An identity header counts only behind a certificate that chains to the front-proxy
//!   authority; whatever the outcome, no identity header reaches the layers below.
//! - **S4** An authorizer that fails is a failed request, never an allowed one.
//! - **S5** No request makes the process panic; if one does, its answer is a 500 `Status` and the server
//!   goes on.
//!
//! What it will not do: run admission webhooks, depend on what it keeps on disk ([`state_file`]), or speak to another
//! cluster's API.

// Server half.
pub mod authn;
pub mod authz;
pub mod backend;
pub mod command;
pub mod config;
pub mod discovery;
mod duration;
mod failover;
mod handler;
pub mod health;
mod host;
mod memo;
pub mod metrics;
mod openapi;
pub mod options;
pub mod request_info;
pub mod server;
pub mod version;

// Registry half.
pub mod cache;
pub mod coordinator;
pub mod definitions;
pub mod departures;
pub mod guard;
pub mod members;
pub mod namespaces;
mod origin;
pub mod registry;
pub mod state_file;
pub mod storage;

pub use backend::{ApiRequest, Backend, Body, WarningSink};
pub use config::Config;
pub use handler::CatalogSource;
pub use request_info::{RequestInfo, ResourceTarget, Verb};
pub use server::{Running, Server};
