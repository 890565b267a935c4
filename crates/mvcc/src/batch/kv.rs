//! Puts and deletions.

use std::{ops::ControlFlow, sync::Arc};

use bytes::Bytes;

use super::Batch;
use crate::{
    DeleteRangeRequest, DeleteRangeResponse, Error, KeyValue, PutRequest, PutResponse, Result,
    keyspace::LATEST, view::View,
};

impl Batch<'_> {
    pub(super) fn put(&mut self, request: &PutRequest) -> Result<PutResponse> {
        self.check_alarms(true)?;
        self.check_put(request)?;
        Ok(self.do_put(request))
    }

    pub(super) fn delete_range(
        &mut self,
        request: &DeleteRangeRequest,
    ) -> Result<DeleteRangeResponse> {
        self.check_alarms(false)?;
        Ok(self.do_delete_range(request))
    }

    /// What a put needs to find.
    pub(super) fn check_put(&self, request: &PutRequest) -> Result<()> {
        if (request.ignore_value || request.ignore_lease) && self.current(&request.key).is_none() {
            return Err(Error::KeyNotFound);
        }
        if request.lease.is_some() && self.lease_ttl(request.lease).is_none() {
            return Err(Error::LeaseNotFound);
        }
        Ok(())
    }

    /// A put that was checked.
    pub(super) fn do_put(&mut self, request: &PutRequest) -> PutResponse {
        let revision = self.marks.revision.next();
        let previous = self.current(&request.key).cloned();
        let before = previous.as_deref();
        // Copies, so that what is kept doesn't pin the whole message that it came with. The key
        // is shared between its versions.
        let copy = Bytes::copy_from_slice;
        let kv = KeyValue {
            key: before.map_or_else(|| copy(&request.key), |kv| kv.key.clone()),
            value: match before {
                Some(kv) if request.ignore_value => kv.value.clone(),
                _ => copy(&request.value),
            },
            create_revision: before.map_or(revision, |kv| kv.create_revision),
            mod_revision: revision,
            version: before.map_or(1, |kv| kv.version.saturating_add(1)),
            lease: match before {
                Some(kv) if request.ignore_lease => kv.lease,
                _ => request.lease,
            },
        };
        self.write(&request.key, kv);
        PutResponse {
            revision,
            prev_kv: previous.filter(|_| request.prev_kv),
        }
    }

    pub(super) fn do_delete_range(&mut self, request: &DeleteRangeRequest) -> DeleteRangeResponse {
        let mut found: Vec<Arc<KeyValue>> = Vec::new();
        if request.range.is_single() {
            found.extend(self.current(request.range.key()).cloned());
        } else {
            self.scan(&request.range, LATEST, &mut |kv| {
                found.push(Arc::clone(kv));
                ControlFlow::Continue(())
            });
        }
        found.iter().for_each(|kv| self.delete(&kv.key));
        DeleteRangeResponse {
            revision: View::revision(self),
            deleted: found.len() as i64,
            prev_kvs: if request.prev_kv { found } else { Vec::new() },
        }
    }

    /// Deletes a key that exists.
    pub(super) fn delete(&mut self, key: &Bytes) {
        let revision = self.marks.revision.next();
        self.write(key, KeyValue::tombstone(key.clone(), revision));
    }
}
