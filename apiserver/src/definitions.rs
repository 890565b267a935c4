//! Which resources exist: from the stored `SharedResourceDefinition`s to what is served.
//!
//! A definition is an ordinary stored object (group `helium.dev`, cluster-scoped): the spec of a
//! CustomResourceDefinition and, under `sharing`, how clusters share the kind. Every server follows
//! the definitions through a watch cache and derives two things from them: the *status* of each definition, which
//! is a function of all definitions and written by whichever server gets there first, and its own
//! *catalog*, the snapshot that discovery, OpenAPI and the registry work from.
//!
//! Invariants:
//! - **D1** A kind is served when its definition's stored status says `Established`, never because this
//!   server thinks that it should be: all servers agree.
//! - **D2** The catalog is replaced as a whole. What it says of a resource is what one revision of its definition says.
//! - **D3** Before the definitions were read once nothing is known, and nothing may be called unknown. What is remembered from
//!   an earlier start ([`LastKnown`]) answers documents meanwhile, and nothing else.
//! - **D4** A definition goes only after its objects: while it is being deleted nothing can be created, and its
//!   finalizer falls when a linearizable list of its objects is empty.
//! - **D5** Groups of Kubernetes and of the fleet itself can't be declared: a shared kind must never shadow one that
//!   a cluster lives on.
//!
//! What they will not do: register anything in a cluster, or convert objects between versions other than by
//! `apiVersion`.

mod admit;
pub mod builtin;
mod catalog;
mod cleanup;
mod conditions;
mod controller;
mod last_known;
mod sharing;
mod writers;

pub use admit::{admit, unknown_fields, warnings};
pub use catalog::{Catalog, Exposure, Resource, Special};
pub(crate) use cleanup::remove_stored;
pub use controller::{Controller, Publish};
pub use last_known::LastKnown;
pub use sharing::{NamespaceDeletion, OwnerReferences, Sharing, SharingScope};
pub use writers::Writers;

/// Finalizer of every definition: its objects go first.
pub const FINALIZER: &str = "helium.dev/instance-cleanup";
