//! Reading and writing objects.

use std::future::Future;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use helium_etcd_proto::etcdserverpb::kv_client::KvClient;
use helium_etcd_proto::etcdserverpb::{request_op, response_op};
use helium_etcd_proto::mvccpb;
use tonic::transport::Channel;

use super::error::{Error, Result};
use super::outcome::{self, Answer, Found, Written};
use super::{CALL_TIMEOUT, Expiry, Prefix, Store};

/// A key's value as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The full key.
    pub key: Bytes,
    /// The value.
    pub value: Bytes,
    /// Revision of the last change: the object's resourceVersion.
    pub revision: i64,
}

impl From<mvccpb::KeyValue> for Record {
    fn from(kv: mvccpb::KeyValue) -> Self {
        Self {
            key: kv.key,
            value: kv.value,
            revision: kv.mod_revision,
        }
    }
}

/// Some records of a prefix, all as of one revision.
#[derive(Debug, Clone)]
pub struct Page {
    /// In key order.
    pub records: Vec<Record>,
    /// The revision of which this is the state.
    pub revision: i64,
    /// How many keys of the range follow behind this page.
    pub remaining: i64,
}

/// What belongs to the write of an object, in its transaction: a further condition, and what else is written.
#[derive(Debug, Clone, Default)]
pub struct Alongside {
    /// A key that must be at this revision, else nothing happens.
    pub guard: Option<(String, i64)>,
    /// Keys that must be at these revisions (0: absent), else nothing happens and what they have is told. They come after the
    /// guard: what they are matters only to a write that may happen otherwise.
    pub companions: Vec<(String, i64)>,
    /// What else is written with it.
    pub besides: Vec<Beside>,
    /// A prefix of which no key may have been written after this revision, else nothing happens.
    pub unmoved: Option<(String, i64)>,
    /// How long the object lives, if it doesn't stay. Of no meaning for a deletion.
    pub expiry: Option<Expiry>,
}

/// A change of a key that isn't an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beside {
    /// Put this value.
    Put(String, Bytes),
    /// Delete the key, if it is there.
    Delete(String),
}

impl Beside {
    fn operation(&self) -> request_op::Request {
        match self {
            Self::Put(key, value) => put(Bytes::copy_from_slice(key.as_bytes()), value.clone(), 0),
            Self::Delete(key) => delete(Bytes::copy_from_slice(key.as_bytes())),
        }
    }
}

impl Store {
    /// Reads one key, linearizably.
    pub async fn get(&self, key: &str) -> Result<Option<Record>> {
        let request = pb::RangeRequest {
            key: Bytes::copy_from_slice(key.as_bytes()),
            limit: 1,
            ..pb::RangeRequest::default()
        };
        let response = self.range("read an object", request).await?;
        Ok(response.kvs.into_iter().next().map(Record::from))
    }

    /// The store's current revision, linearizably: everything acknowledged before the call is at or
    /// below it.
    pub async fn current_revision(&self, prefix: &Prefix) -> Result<i64> {
        let request = pb::RangeRequest {
            key: Bytes::copy_from_slice(prefix.as_str().as_bytes()),
            range_end: Prefix::end_of(prefix.as_str()).into(),
            limit: 1,
            keys_only: true,
            ..pb::RangeRequest::default()
        };
        let response = self.range("read the current revision", request).await?;
        Ok(header_revision(response.header.as_ref()))
    }

    /// Reads up to `limit` records (0 = all) of `scope`, a text that begins with the prefix, from the full
    /// key `start` (or from its beginning), as of `revision` (0 = now, linearizably).
    ///
    /// Fails with [`Error::Compacted`] or [`Error::FutureRevision`] if that revision can't be read.
    pub async fn page(
        &self,
        scope: &str,
        start: Option<&[u8]>,
        limit: i64,
        revision: i64,
    ) -> Result<Page> {
        let request = pb::RangeRequest {
            key: Bytes::copy_from_slice(start.unwrap_or(scope.as_bytes())),
            range_end: Prefix::end_of(scope).into(),
            limit,
            revision,
            ..pb::RangeRequest::default()
        };
        let response = self.range("list objects", request).await?;
        let count = response.kvs.len() as i64;
        let at = if revision > 0 {
            revision
        } else {
            header_revision(response.header.as_ref())
        };
        if response.kvs.is_empty() && response.more {
            return Err(Error::Refused {
                doing: "list objects",
                reason: "an empty page that says that more follows".to_owned(),
            });
        }
        let remaining = if response.more {
            (response.count - count).max(1)
        } else {
            0
        };
        Ok(Page {
            records: response.kvs.into_iter().map(Record::from).collect(),
            revision: at,
            remaining,
        })
    }

    /// Puts a value if the key doesn't exist.
    pub async fn create(&self, key: &str, value: Bytes) -> Result<Written> {
        self.create_with(key, value, &Alongside::default()).await
    }

    /// [`Store::create`], with what belongs to it.
    pub async fn create_with(&self, key: &str, value: Bytes, along: &Alongside) -> Result<Written> {
        self.put_if("create an object", key, 0, value, along).await
    }

    /// Puts a value if the key is at `expected`.
    pub async fn update(&self, key: &str, expected: i64, value: Bytes) -> Result<Written> {
        self.update_with(key, expected, value, &Alongside::default())
            .await
    }

    /// [`Store::update`], with what belongs to it.
    pub async fn update_with(
        &self,
        key: &str,
        expected: i64,
        value: Bytes,
        along: &Alongside,
    ) -> Result<Written> {
        self.put_if("update an object", key, expected, value, along)
            .await
    }

    async fn put_if(
        &self,
        doing: &'static str,
        key: &str,
        expected: i64,
        value: Bytes,
        along: &Alongside,
    ) -> Result<Written> {
        let key = Bytes::copy_from_slice(key.as_bytes());
        let attempt = |lease| {
            let then = put(key.clone(), value.clone(), lease);
            self.txn_if(doing, &key, expected, then, along)
        };
        let answer = match &along.expiry {
            None => attempt(0).await?,
            Some(expiry) => {
                let lease = expiry.lease(self).await?;
                match attempt(lease).await {
                    // The store may have been restored, or somebody revoked it.
                    Err(Error::LeaseGone) => {
                        expiry.forget(lease);
                        attempt(expiry.lease(self).await?).await?
                    }
                    answer => answer?,
                }
            }
        };
        outcome::written(doing, answer, expected, along, &value)
    }

    /// Deletes a key if it is at `expected`.
    pub async fn delete(&self, key: &str, expected: i64) -> Result<Written> {
        self.delete_with(key, expected, &Alongside::default()).await
    }

    /// [`Store::delete`], with what belongs to it.
    pub async fn delete_with(
        &self,
        key: &str,
        expected: i64,
        along: &Alongside,
    ) -> Result<Written> {
        let doing = "delete an object";
        let key = Bytes::copy_from_slice(key.as_bytes());
        let then = delete(key.clone());
        let answer = self.txn_if(doing, &key, expected, then, along).await?;
        outcome::deleted(doing, answer, expected, along)
    }

    /// One operation, and what goes with it, under a compare of the key's `mod_revision`; else a read of the key and of the
    /// others that it depends on.
    async fn txn_if(
        &self,
        doing: &'static str,
        key: &Bytes,
        expected: i64,
        then: request_op::Request,
        along: &Alongside,
    ) -> Result<Answer> {
        let mut request = pb::TxnRequest {
            compare: vec![compare(key.clone(), expected)],
            success: vec![operation(then)],
            failure: vec![operation(read(key.clone()))],
        };
        if let Some((guard, revision)) = &along.guard {
            let guard = Bytes::copy_from_slice(guard.as_bytes());
            request.compare.push(compare(guard.clone(), *revision));
            request.failure.push(operation(read(guard)));
        }
        for (companion, revision) in &along.companions {
            let companion = Bytes::copy_from_slice(companion.as_bytes());
            request.compare.push(compare(companion.clone(), *revision));
            request.failure.push(operation(read(companion)));
        }
        if let Some((prefix, revision)) = &along.unmoved {
            request.compare.push(not_after(prefix, *revision));
        }
        for beside in &along.besides {
            request.success.push(operation(beside.operation()));
        }
        let (response, resent) = self.txn(doing, request).await?;
        let done = if response.succeeded {
            Ok(header_revision(response.header.as_ref()))
        } else {
            let mut found = response.responses.into_iter().map(first_record);
            Err(Found {
                current: found.next().flatten(),
                guard: along.guard.as_ref().and_then(|_| found.next().flatten()),
                companions: found.collect(),
            })
        };
        Ok(Answer { done, resent })
    }

    pub(super) async fn txn(
        &self,
        doing: &'static str,
        request: pb::TxnRequest,
    ) -> Result<(pb::TxnResponse, bool)> {
        let mut resent = false;
        let response = self
            .call(doing, true, &mut resent, |channel| {
                let request = request.clone();
                async move { client(channel).txn(request).await }
            })
            .await?;
        Ok((response, resent))
    }

    async fn range(
        &self,
        doing: &'static str,
        request: pb::RangeRequest,
    ) -> Result<pb::RangeResponse> {
        self.call(doing, false, &mut false, |channel| {
            let request = request.clone();
            async move { client(channel).range(request).await }
        })
        .await
    }

    pub(super) async fn compact(&self, revision: i64) -> Result<()> {
        let request = pb::CompactionRequest {
            revision,
            physical: false,
        };
        self.call(
            "compact the store",
            false,
            &mut false,
            |channel| async move { client(channel).compact(request).await },
        )
        .await
        .map(|_| ())
    }

    /// Sends a call to one endpoint after the other until one answers. `resent` is set when a call
    /// is sent again although an earlier attempt may have had its effect.
    pub(super) async fn call<T, F, Fut>(
        &self,
        doing: &'static str,
        writes: bool,
        resent: &mut bool,
        send: F,
    ) -> Result<T>
    where
        F: Fn(Channel) -> Fut,
        Fut: Future<Output = std::result::Result<tonic::Response<T>, tonic::Status>>,
    {
        let attempts = async {
            let mut left = self.endpoints.attempts();
            loop {
                let (at, channel) = self.endpoints.pick();
                let error = match send(channel).await {
                    Ok(response) => return Ok(response.into_inner()),
                    Err(status) => Error::from_status(doing, writes, status),
                };
                left -= 1;
                let Error::Unavailable { outcome_known, .. } = &error else {
                    return Err(error);
                };
                self.endpoints.failed(at);
                if left == 0 {
                    return Err(error);
                }
                *resent |= !outcome_known;
            }
        };
        let answer = match tokio::time::timeout(CALL_TIMEOUT, attempts).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout {
                doing,
                outcome_known: !writes,
            }),
        };
        self.endpoints.note(answer.as_ref().err());
        answer
    }
}

fn compare(key: Bytes, revision: i64) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Equal.into(),
        target: CompareTarget::Mod.into(),
        key,
        target_union: Some(TargetUnion::ModRevision(revision)),
        ..pb::Compare::default()
    }
}

/// No key of a prefix was written after a revision.
fn not_after(prefix: &str, revision: i64) -> pb::Compare {
    pb::Compare {
        result: CompareResult::Less.into(),
        target: CompareTarget::Mod.into(),
        key: Bytes::copy_from_slice(prefix.as_bytes()),
        range_end: Prefix::end_of(prefix).into(),
        target_union: Some(TargetUnion::ModRevision(revision + 1)),
    }
}

fn operation(request: request_op::Request) -> pb::RequestOp {
    pb::RequestOp {
        request: Some(request),
    }
}

fn put(key: Bytes, value: Bytes, lease: i64) -> request_op::Request {
    request_op::Request::RequestPut(pb::PutRequest {
        key,
        value,
        lease,
        ..pb::PutRequest::default()
    })
}

fn delete(key: Bytes) -> request_op::Request {
    request_op::Request::RequestDeleteRange(pb::DeleteRangeRequest {
        key,
        ..pb::DeleteRangeRequest::default()
    })
}

fn read(key: Bytes) -> request_op::Request {
    request_op::Request::RequestRange(pb::RangeRequest {
        key,
        ..pb::RangeRequest::default()
    })
}

fn client(channel: Channel) -> KvClient<Channel> {
    // The store bounds its answers (we ask for pages); the client's own 4 MiB would cut them.
    KvClient::new(channel).max_decoding_message_size(usize::MAX)
}

pub(super) fn header_revision(header: Option<&pb::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

fn first_record(response: pb::ResponseOp) -> Option<Record> {
    match response.response? {
        response_op::Response::ResponseRange(range) => {
            range.kvs.into_iter().next().map(Record::from)
        }
        _ => None,
    }
}
