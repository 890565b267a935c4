//! The etcd v3 wire format: messages, clients and servers; and the one that our instances speak
//! among themselves.
//!
//! The `.proto` files under `proto/` are written from the wire contract (names, numbers and types of
//! fields). The Rust under `src/generated/` is made from them and committed, so that building needs
//! neither `protoc` nor a build script; `tests/generated.rs` compares the two, and rewrites the
//! Rust when `UPDATE_PROTO=1` is set.
//!
//! All `bytes` fields are [`bytes::Bytes`]: a key or a value is never copied between the socket and
//! the store. This crate has no logic.

/// Messages, clients and servers of one protobuf package.
macro_rules! package {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        #[allow(
            missing_docs,
            unreachable_pub,
            rust_2018_idioms,
            clippy::all,
            clippy::large_futures
        )]
        pub mod $name {
            include!(concat!("generated/", $file));
        }
    };
}

package!(
    /// Pairs and events.
    mvccpb, "mvccpb.rs"
);
package!(
    /// Users, roles and permissions.
    authpb, "authpb.rs"
);
package!(
    /// KV, Watch, Lease, Cluster, Maintenance and Auth.
    etcdserverpb, "etcdserverpb.rs"
);
package!(
    /// Locks on the server's side.
    v3lockpb, "v3lockpb.rs"
);
package!(
    /// Elections on the server's side.
    v3electionpb, "v3electionpb.rs"
);
package!(
    /// The standard gRPC health service.
    health, "grpc.health.v1.rs"
);
package!(
    /// What instances of one log say to each other.
    peer, "helium.peer.v1.rs"
);
