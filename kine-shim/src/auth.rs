//! The Auth service, which is off: clients are told apart by their certificates.

use std::sync::Arc;

use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::auth_server::Auth;
use tonic::{Request, Response};

use crate::error::{Refusal, Result};
use crate::node::Node;

/// The service, on a server's shared parts.
#[derive(Debug, Clone)]
pub(crate) struct AuthService(pub(crate) Arc<Node>);

impl AuthService {
    fn header(&self) -> Result<Option<pb::ResponseHeader>> {
        Ok(Some(self.0.header(self.0.revision()?).into()))
    }
}

/// Methods that manage users and roles, which this server doesn't keep.
macro_rules! unsupported {
    ($($method:ident, $request:ident => $response:ident;)*) => {
        #[tonic::async_trait]
        impl Auth for AuthService {
            async fn auth_enable(
                &self,
                _request: Request<pb::AuthEnableRequest>,
            ) -> Result<Response<pb::AuthEnableResponse>> {
                Err(Refusal::RootUserNotExist.into())
            }

            async fn auth_disable(
                &self,
                _request: Request<pb::AuthDisableRequest>,
            ) -> Result<Response<pb::AuthDisableResponse>> {
                // Disabling what is off is no error in etcd.
                Ok(Response::new(pb::AuthDisableResponse { header: self.header()? }))
            }

            async fn auth_status(
                &self,
                _request: Request<pb::AuthStatusRequest>,
            ) -> Result<Response<pb::AuthStatusResponse>> {
                Ok(Response::new(pb::AuthStatusResponse {
                    header: self.header()?,
                    enabled: false,
                    auth_revision: 1,
                }))
            }

            async fn authenticate(
                &self,
                _request: Request<pb::AuthenticateRequest>,
            ) -> Result<Response<pb::AuthenticateResponse>> {
                // Clients that were given a user and a password go on without a token then.
                Err(Refusal::AuthNotEnabled.into())
            }

            $(async fn $method(
                &self,
                _request: Request<pb::$request>,
            ) -> Result<Response<pb::$response>> {
                Err(Refusal::NoUsers.into())
            })*
        }
    };
}

unsupported! {
    user_add, AuthUserAddRequest => AuthUserAddResponse;
    user_get, AuthUserGetRequest => AuthUserGetResponse;
    user_list, AuthUserListRequest => AuthUserListResponse;
    user_delete, AuthUserDeleteRequest => AuthUserDeleteResponse;
    user_change_password, AuthUserChangePasswordRequest => AuthUserChangePasswordResponse;
    user_grant_role, AuthUserGrantRoleRequest => AuthUserGrantRoleResponse;
    user_revoke_role, AuthUserRevokeRoleRequest => AuthUserRevokeRoleResponse;
    role_add, AuthRoleAddRequest => AuthRoleAddResponse;
    role_get, AuthRoleGetRequest => AuthRoleGetResponse;
    role_list, AuthRoleListRequest => AuthRoleListResponse;
    role_delete, AuthRoleDeleteRequest => AuthRoleDeleteResponse;
    role_grant_permission, AuthRoleGrantPermissionRequest => AuthRoleGrantPermissionResponse;
    role_revoke_permission, AuthRoleRevokePermissionRequest => AuthRoleRevokePermissionResponse;
}
