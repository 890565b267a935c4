//! Leases: granting, ending, renewing.

use std::collections::BTreeSet;

use bytes::Bytes;

use super::Batch;
use crate::{
    AlarmKind, Error, LeaseExpireRequest, LeaseExpireResponse, LeaseGrantRequest,
    LeaseGrantResponse, LeaseId, LeaseRenewRequest, LeaseRenewResponse, LeaseRevokeRequest,
    LeaseRevokeResponse, Operation, Result, view::View,
};

impl Batch<'_> {
    pub(super) fn lease_grant(&mut self, request: LeaseGrantRequest) -> Result<LeaseGrantResponse> {
        self.check_alarms(true)?;
        let LeaseGrantRequest { id, ttl } = request;
        if self.lease_ttl(id).is_some() {
            return Err(Error::LeaseExists);
        }
        let ttl = ttl.max(self.limits.min_lease_ttl);
        self.leases.insert(id, Some(ttl));
        self.push(Operation::LeaseGrant { id, ttl });
        Ok(LeaseGrantResponse {
            revision: self.marks.revision,
            id,
            ttl,
        })
    }

    pub(super) fn lease_revoke(
        &mut self,
        request: LeaseRevokeRequest,
    ) -> Result<LeaseRevokeResponse> {
        self.check_alarms(false)?;
        if self.lease_ttl(request.id).is_none() {
            return Err(Error::LeaseNotFound);
        }
        self.lease_end(request.id);
        Ok(LeaseRevokeResponse {
            revision: View::revision(self),
        })
    }

    pub(super) fn lease_renew(&mut self, request: LeaseRenewRequest) -> LeaseRenewResponse {
        let revision = self.marks.revision;
        let id = request.id;
        let ttl = self.lease_ttl(id);
        if ttl.is_some() {
            self.push(Operation::LeaseRenew { id });
        }
        LeaseRenewResponse {
            revision,
            id,
            ttl: ttl.unwrap_or(0),
        }
    }

    pub(super) fn lease_expire(&mut self, request: LeaseExpireRequest) -> LeaseExpireResponse {
        let corrupt = self
            .alarms()
            .iter()
            .any(|alarm| alarm.kind == AlarmKind::Corrupt);
        let expired =
            request.epoch == self.marks.epoch && self.lease_ttl(request.id).is_some() && !corrupt;
        if expired {
            self.lease_end(request.id);
        }
        LeaseExpireResponse {
            revision: View::revision(self),
            expired,
        }
    }

    /// Deletes a lease's keys in byte order, then the lease.
    fn lease_end(&mut self, id: LeaseId) {
        let attached = |kv: &crate::KeyValue| kv.lease == id;
        let earlier = self
            .state
            .lease_keys(id)
            .filter(|key| !self.overlay.contains_key(*key));
        let ours = self.overlay.values().map(crate::keyspace::Node::latest);
        let ours = ours.filter(|kv| attached(kv)).map(|kv| &kv.key);
        let keys: BTreeSet<Bytes> = earlier.chain(ours).cloned().collect();
        keys.iter().for_each(|key| self.delete(key));
        self.leases.insert(id, None);
        self.push(Operation::LeaseRevoke { id });
    }
}
