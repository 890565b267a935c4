//! The verbs of a fleet: `init`, `token`, `join`, `members`, `leave`, `revoke`.
//!
//! A member is a cluster whose `Member` lists its own authority; who comes with a certificate that this authority has
//! signed, and that names this cluster, is let in (docs/identity.md). So the first member makes itself (`init`), and each other one is
//! let in by a member: `token create` there, `join` here. Rules:
//!
//! 1. An authority's key never leaves its cluster's folder. What is sent is the certificate.
//! 2. Every verb can be run again, after whatever crash: it looks at what holds, does what is missing, and says so.
//! 3. Files are made before anybody is told of them: a cluster that the fleet knows has its keys.
//! 4. No secret goes to a server that hasn't proved who it is, nor through a clock that disagrees.
//! 5. A cluster's name is what its own server stamps on writes, not what a file or a person says.
//!
//! It will not install anything into a cluster: it makes `objects.yaml`, and says what to do with it.

mod api;
mod clock;
mod database;
mod folder;
mod init;
mod join;
mod join_file;
mod leave;
mod members;
mod objects;
mod revoke;
mod token;

pub(crate) use init::run as init;
pub(crate) use join::run as join;
pub(crate) use leave::run as leave;
pub(crate) use members::run as members;
pub(crate) use revoke::run as revoke;
pub(crate) use token::run as token;
