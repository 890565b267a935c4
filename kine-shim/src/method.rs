//! The gRPC methods that this server has, for routing and for metrics.

/// How many messages each side of a call sends; the label `grpc_type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Unary,
    ServerStream,
    BidiStream,
}

impl Shape {
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::ServerStream => "server_stream",
            Self::BidiStream => "bidi_stream",
        }
    }
}

macro_rules! methods {
    ($($variant:ident => $service:literal, $name:literal, $shape:ident;)*) => {
        /// A gRPC method.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Method {
            $($variant,)*
        }

        impl Method {
            /// Every method, in the order of their numbers.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The method that an HTTP path names.
            pub(crate) fn from_path(path: &str) -> Option<Self> {
                match path {
                    $(concat!("/", $service, "/", $name) => Some(Self::$variant),)*
                    _ => None,
                }
            }

            pub(crate) const fn service(self) -> &'static str {
                match self { $(Self::$variant => $service,)* }
            }

            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            pub(crate) const fn shape(self) -> Shape {
                match self { $(Self::$variant => Shape::$shape,)* }
            }
        }
    };
}

methods! {
    Range => "etcdserverpb.KV", "Range", Unary;
    RangeStream => "etcdserverpb.KV", "RangeStream", ServerStream;
    Put => "etcdserverpb.KV", "Put", Unary;
    DeleteRange => "etcdserverpb.KV", "DeleteRange", Unary;
    Txn => "etcdserverpb.KV", "Txn", Unary;
    Compact => "etcdserverpb.KV", "Compact", Unary;
    Watch => "etcdserverpb.Watch", "Watch", BidiStream;
    LeaseGrant => "etcdserverpb.Lease", "LeaseGrant", Unary;
    LeaseRevoke => "etcdserverpb.Lease", "LeaseRevoke", Unary;
    LeaseKeepAlive => "etcdserverpb.Lease", "LeaseKeepAlive", BidiStream;
    LeaseTimeToLive => "etcdserverpb.Lease", "LeaseTimeToLive", Unary;
    LeaseLeases => "etcdserverpb.Lease", "LeaseLeases", Unary;
    MemberAdd => "etcdserverpb.Cluster", "MemberAdd", Unary;
    MemberRemove => "etcdserverpb.Cluster", "MemberRemove", Unary;
    MemberUpdate => "etcdserverpb.Cluster", "MemberUpdate", Unary;
    MemberList => "etcdserverpb.Cluster", "MemberList", Unary;
    MemberPromote => "etcdserverpb.Cluster", "MemberPromote", Unary;
    Alarm => "etcdserverpb.Maintenance", "Alarm", Unary;
    Status => "etcdserverpb.Maintenance", "Status", Unary;
    Defragment => "etcdserverpb.Maintenance", "Defragment", Unary;
    Hash => "etcdserverpb.Maintenance", "Hash", Unary;
    HashKv => "etcdserverpb.Maintenance", "HashKV", Unary;
    Snapshot => "etcdserverpb.Maintenance", "Snapshot", ServerStream;
    MoveLeader => "etcdserverpb.Maintenance", "MoveLeader", Unary;
    Downgrade => "etcdserverpb.Maintenance", "Downgrade", Unary;
    AuthEnable => "etcdserverpb.Auth", "AuthEnable", Unary;
    AuthDisable => "etcdserverpb.Auth", "AuthDisable", Unary;
    AuthStatus => "etcdserverpb.Auth", "AuthStatus", Unary;
    Authenticate => "etcdserverpb.Auth", "Authenticate", Unary;
    UserAdd => "etcdserverpb.Auth", "UserAdd", Unary;
    UserGet => "etcdserverpb.Auth", "UserGet", Unary;
    UserList => "etcdserverpb.Auth", "UserList", Unary;
    UserDelete => "etcdserverpb.Auth", "UserDelete", Unary;
    UserChangePassword => "etcdserverpb.Auth", "UserChangePassword", Unary;
    UserGrantRole => "etcdserverpb.Auth", "UserGrantRole", Unary;
    UserRevokeRole => "etcdserverpb.Auth", "UserRevokeRole", Unary;
    RoleAdd => "etcdserverpb.Auth", "RoleAdd", Unary;
    RoleGet => "etcdserverpb.Auth", "RoleGet", Unary;
    RoleList => "etcdserverpb.Auth", "RoleList", Unary;
    RoleDelete => "etcdserverpb.Auth", "RoleDelete", Unary;
    RoleGrantPermission => "etcdserverpb.Auth", "RoleGrantPermission", Unary;
    RoleRevokePermission => "etcdserverpb.Auth", "RoleRevokePermission", Unary;
    HealthCheck => "grpc.health.v1.Health", "Check", Unary;
    HealthWatch => "grpc.health.v1.Health", "Watch", ServerStream;
    PeerFollow => "helium.peer.v1.Peer", "Follow", ServerStream;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_is_found_by_its_path() {
        for (number, &method) in Method::ALL.iter().enumerate() {
            let path = format!("/{}/{}", method.service(), method.name());
            assert_eq!(Method::from_path(&path), Some(method));
            assert_eq!(method as usize, number);
        }
        assert_eq!(Method::from_path("/etcdserverpb.KV/"), None);
    }
}
