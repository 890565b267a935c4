//! A store of one writer: every request becomes an entry, goes through its bytes and is applied.

use bytes::Bytes;
use helium_mvcc::*;

pub(crate) struct Store {
    pub(crate) state: State,
    pub(crate) hub: WatchHub,
}

impl Store {
    pub(crate) fn new() -> Self {
        let state = State::new();
        let hub = WatchHub::new(&state);
        Self { state, hub }
    }

    /// Runs a request in a batch of its own.
    pub(crate) fn run(&mut self, request: Request) -> Result<Response> {
        let mut batch = Batch::new(&self.state);
        let outcome = batch.evaluate(&request);
        let body = batch.finish();
        let wrote = outcome.as_ref().is_ok_and(|outcome| outcome.wrote);
        assert_eq!(body.is_empty(), !wrote);
        self.commit(&body);
        outcome.map(|outcome| outcome.response)
    }

    pub(crate) fn commit(&mut self, body: &BatchBody) -> Applied {
        let body = BatchBody::decode(&body.encode()).expect("own encoding");
        let stamp = Stamp {
            slot: self.state.slot() + 1,
            at: 0,
        };
        let applied = self.state.apply(stamp, &body).expect("next slot");
        self.hub.advance(&self.state, |_| {});
        applied
    }

    pub(crate) fn revision(&self) -> i64 {
        self.state.revision().0
    }

    pub(crate) fn put(&mut self, key: &str, value: &str) -> i64 {
        let request = PutRequest::new(key.to_owned(), value.to_owned());
        self.run(Request::Put(request)).expect("put").revision().0
    }

    pub(crate) fn put_leased(&mut self, key: &str, lease: i64) -> Result<Response> {
        let request = PutRequest {
            lease: LeaseId(lease),
            ..PutRequest::new(key.to_owned(), String::new())
        };
        self.run(Request::Put(request))
    }

    pub(crate) fn delete(&mut self, range: KeyRange) -> DeleteRangeResponse {
        let request = DeleteRangeRequest {
            range,
            prev_kv: true,
        };
        match self.run(Request::DeleteRange(request)).expect("delete") {
            Response::DeleteRange(response) => response,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn txn(&mut self, request: TxnRequest) -> Result<TxnResponse> {
        self.run(Request::Txn(request))
            .map(|response| match response {
                Response::Txn(response) => response,
                other => panic!("{other:?}"),
            })
    }

    pub(crate) fn compact(&mut self, revision: i64) -> Result<Response> {
        self.run(Request::Compact(CompactRequest {
            revision: Revision(revision),
        }))
    }

    pub(crate) fn clean_up(&mut self) {
        while self.state.compact_step(1) {}
    }

    pub(crate) fn grant(&mut self, id: i64, ttl: i64) -> Result<Response> {
        self.run(Request::LeaseGrant(LeaseGrantRequest {
            id: LeaseId(id),
            ttl,
        }))
    }

    pub(crate) fn revoke(&mut self, id: i64) -> Result<Response> {
        self.run(Request::LeaseRevoke(LeaseRevokeRequest { id: LeaseId(id) }))
    }

    pub(crate) fn range_at(&self, range: KeyRange, revision: i64) -> Result<RangeResponse> {
        let revision = Revision(revision);
        self.state.range(&RangeRequest {
            revision,
            ..RangeRequest::new(range)
        })
    }

    pub(crate) fn get(&self, key: &str) -> Option<KeyValue> {
        let range = KeyRange::single(key.to_owned());
        let kvs = self.range_at(range, 0).expect("read").kvs;
        kvs.first().map(|kv| (**kv).clone())
    }

    pub(crate) fn watch(&mut self, stream: StreamId, key: &str, start: i64) {
        let range = KeyRange::single(key.to_owned());
        let start_revision = Revision(start);
        self.hub.watch_create(
            stream,
            WatchRequest {
                start_revision,
                ..WatchRequest::new(range)
            },
        );
    }

    pub(crate) fn poll(&mut self, stream: StreamId) -> Vec<WatchMessage> {
        self.hub.poll(stream, &self.state).messages
    }
}

pub(crate) fn put(key: &str, value: &str) -> TxnOp {
    TxnOp::Put(PutRequest::new(key.to_owned(), value.to_owned()))
}

pub(crate) fn get(range: KeyRange) -> TxnOp {
    TxnOp::Range(RangeRequest::new(range))
}

pub(crate) fn delete(range: KeyRange) -> TxnOp {
    TxnOp::DeleteRange(DeleteRangeRequest::new(range))
}

pub(crate) fn nested(request: TxnRequest) -> TxnOp {
    TxnOp::Txn(Box::new(request))
}

pub(crate) fn single(key: &str) -> KeyRange {
    KeyRange::single(key.to_owned())
}

pub(crate) fn range(key: &'static str, end: &'static str) -> KeyRange {
    KeyRange::new(
        Bytes::from_static(key.as_bytes()),
        Bytes::from_static(end.as_bytes()),
    )
}

pub(crate) fn then(success: Vec<TxnOp>) -> TxnRequest {
    TxnRequest {
        success,
        ..TxnRequest::default()
    }
}

pub(crate) fn compare(key: &str, target: CompareTarget, result: CompareResult) -> Compare {
    Compare {
        range: single(key),
        target,
        result,
    }
}

/// The keys of some versions, as text.
pub(crate) fn keys<'a>(kvs: impl IntoIterator<Item = &'a std::sync::Arc<KeyValue>>) -> Vec<String> {
    kvs.into_iter()
        .map(|kv| String::from_utf8_lossy(&kv.key).into_owned())
        .collect()
}

/// What a watch saw, as "PUT key=value@revision" and "DELETE key@revision".
pub(crate) fn seen(messages: &[WatchMessage]) -> Vec<String> {
    let text = |bytes: &Bytes| String::from_utf8_lossy(bytes).into_owned();
    let line = |event: &Event| {
        let (key, value, revision) = (text(&event.kv.key), text(&event.kv.value), event.revision());
        match event.kind {
            EventKind::Put => format!("PUT {key}={value}@{revision}"),
            EventKind::Delete => format!("DELETE {key}@{revision}"),
        }
    };
    let events = messages.iter().filter_map(|message| match &message.body {
        WatchBody::Events(events) => Some(events),
        _ => None,
    });
    events.flatten().map(line).collect()
}
