//! The Watch service: one stream, many watchers.
//!
//! Which changes a watcher gets, and when, is decided by the hub of the state machine; here
//! messages are read and written. A stream is a state machine of its own that the connection
//! polls: nothing is buffered beyond what one poll of the hub brings, so a slow client slows down
//! nobody, and is later caught up from history.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::watch_create_request::FilterType;
use helium_etcd_proto::etcdserverpb::watch_request::RequestUnion;
use helium_mvcc::{
    Event, KeyRange, Revision, WatchBody, WatchId, WatchMessage as HubMessage, WatchRefusal,
    WatchRequest,
};
use hyper::body::Incoming;
use rand::Rng as _;
use tonic::codec::{BufferSettings, Streaming};
use tonic_prost::ProstCodec;

use crate::body::FrameStream;
use crate::encode::{WatchMessage, Wire as _};
use crate::error::{self, Refusal, Result, watch_reason};
use crate::node::{Header, Node};
use crate::replica::WatchStream;
use crate::rpc::Demands;

/// Answers of one poll are sent in pieces of about this many bytes.
const PIECE: usize = 1 << 20;
/// Progress notifications are not sent more often than this.
const PROGRESS_FLOOR: Duration = Duration::from_millis(100);

/// `Watch.Watch`.
pub(crate) fn open(node: Arc<Node>, body: Incoming, demands: Demands) -> Result<FrameStream> {
    let stream = node
        .replica
        .watch_stream()
        .map_err(|error| error::status(&error))?;
    let limit = node.settings.receive_limit();
    let requests = Streaming::new_request(
        ProstCodec::<pb::WatchResponse, pb::WatchRequest>::raw_decoder(BufferSettings::default()),
        body,
        None,
        Some(limit),
    );
    Ok(Box::pin(run(node, stream, requests, demands)))
}

/// What a stream waits for.
enum Step {
    Request(Result<Option<pb::WatchRequest>>),
    Messages(crate::replica::Result<helium_mvcc::Poll>),
    Tick,
    End(Refusal),
}

fn run(
    node: Arc<Node>,
    mut stream: WatchStream,
    mut requests: Streaming<pb::WatchRequest>,
    demands: Demands,
) -> impl futures_util::Stream<Item = Result<Bytes>> + Send {
    async_stream::stream! {
        let mut session = Session::new(Arc::clone(&node));
        let mut ticks = tokio::time::interval(session.progress_interval());
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks.reset();
        // The client may say that it has no more requests: its watchers go on.
        let mut listening = true;
        let stopping = node.stopping.clone();
        let stopped = stopping.cancelled();
        tokio::pin!(stopped);
        let lost = async {
            if demands.leader {
                node.leader_lost().await;
            } else {
                std::future::pending::<()>().await;
            }
        };
        tokio::pin!(lost);
        loop {
            let step = tokio::select! {
                biased;
                () = &mut stopped => Step::End(Refusal::Stopped),
                () = &mut lost => Step::End(Refusal::NoLeader),
                request = requests.message(), if listening => Step::Request(request),
                poll = stream.next() => Step::Messages(poll),
                _ = ticks.tick(), if session.notifies => Step::Tick,
            };
            match step {
                Step::Request(Ok(Some(request))) => {
                    if let Err(status) = session.request(&mut stream, request) {
                        yield Err(status);
                        return;
                    }
                }
                Step::Request(Ok(None)) => listening = false,
                Step::Request(Err(status)) => {
                    tracing::debug!(%status, "watch stream ended by its client");
                    yield Err(Refusal::WatchCanceled.into());
                    return;
                }
                Step::Tick => stream.progress_tick(),
                Step::End(refusal) => {
                    yield Err(refusal.into());
                    return;
                }
                Step::Messages(Err(error)) => {
                    yield Err(error::status(&error));
                    return;
                }
                Step::Messages(Ok(poll)) => {
                    let mut buffer = BytesMut::new();
                    for message in &poll.messages {
                        session.write(message, &mut buffer);
                        if buffer.len() >= PIECE {
                            yield Ok(buffer.split().freeze());
                        }
                    }
                    if !buffer.is_empty() {
                        yield Ok(buffer.freeze());
                    }
                    if poll.closed {
                        yield Err(Refusal::LeaderChanged.into());
                        return;
                    }
                }
            }
        }
    }
}

/// What the service remembers of one stream.
struct Session {
    node: Arc<Node>,
    /// For each watcher that was asked for and isn't confirmed yet: may messages be split?
    asked: VecDeque<bool>,
    /// For each watcher: may messages be split?
    watchers: HashMap<WatchId, bool>,
    /// Whether any watcher ever wanted progress notifications.
    notifies: bool,
}

impl Session {
    fn new(node: Arc<Node>) -> Self {
        node.metrics.watch_streams.inc();
        Self {
            node,
            asked: VecDeque::new(),
            watchers: HashMap::new(),
            notifies: false,
        }
    }

    /// The configured pause, up to a tenth longer, so that streams don't tick together.
    fn progress_interval(&self) -> Duration {
        let interval = self
            .node
            .settings
            .watch_progress_interval
            .max(PROGRESS_FLOOR);
        interval.mul_f64(rand::rng().random_range(1.0..1.1))
    }

    fn request(&mut self, stream: &mut WatchStream, request: pb::WatchRequest) -> Result<()> {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                self.asked.push_back(create.fragment);
                self.notifies |= create.progress_notify;
                stream.create(watch_request(create));
            }
            Some(RequestUnion::CancelRequest(cancel)) => stream.cancel(WatchId(cancel.watch_id)),
            Some(RequestUnion::ProgressRequest(_)) => stream.progress_request(),
            // etcd ignores what it doesn't know.
            None => {}
        }
        // Each unconfirmed watcher takes memory: a client that asks faster than it reads is
        // stopped, since nothing else would.
        const UNCONFIRMED: usize = 100_000;
        if self.asked.len() > UNCONFIRMED {
            return Err(Refusal::TooManyRequests.into());
        }
        Ok(())
    }

    fn write(&mut self, message: &HubMessage, buffer: &mut BytesMut) {
        let header = self.node.header(message.revision);
        let wire = WatchMessage {
            header,
            watch_id: message.id.0,
            ..WatchMessage::default()
        };
        match &message.body {
            WatchBody::Created => {
                let fragment = self.asked.pop_front().unwrap_or_default();
                self.watchers.insert(message.id, fragment);
                self.node.metrics.watchers.inc();
                append(
                    &WatchMessage {
                        created: true,
                        ..wire
                    },
                    buffer,
                );
            }
            WatchBody::Refused(refusal) => {
                self.asked.pop_front();
                let cancel_reason = reason(*refusal);
                let refused = WatchMessage {
                    created: true,
                    canceled: true,
                    cancel_reason,
                    ..wire
                };
                append(&refused, buffer);
            }
            WatchBody::Canceled => {
                self.forget(message.id);
                append(
                    &WatchMessage {
                        canceled: true,
                        ..wire
                    },
                    buffer,
                );
            }
            WatchBody::Compacted { compact_revision } => {
                self.forget(message.id);
                let compact_revision = compact_revision.0;
                append(
                    &WatchMessage {
                        canceled: true,
                        compact_revision,
                        ..wire
                    },
                    buffer,
                );
            }
            WatchBody::Progress => append(&wire, buffer),
            WatchBody::Events(events) => {
                self.node.metrics.watch_events.inc_by(events.len() as u64);
                let whole = WatchMessage { events, ..wire };
                let limit = self.node.settings.receive_limit();
                let split = self
                    .watchers
                    .get(&message.id)
                    .is_some_and(|fragment| *fragment);
                if split && whole.len() >= limit {
                    append_fragments(header, message.id, events, limit, buffer);
                } else {
                    append(&whole, buffer);
                }
            }
        }
    }

    fn forget(&mut self, id: WatchId) {
        if self.watchers.remove(&id).is_some() {
            self.node.metrics.watchers.dec();
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.node.metrics.watch_streams.dec();
        let watchers = i64::try_from(self.watchers.len()).unwrap_or_default();
        self.node.metrics.watchers.dec_by(watchers);
    }
}

fn watch_request(create: pb::WatchCreateRequest) -> WatchRequest {
    let filters = |filter: FilterType| create.filters.contains(&(filter as i32));
    WatchRequest {
        id: WatchId(create.watch_id),
        no_put: filters(FilterType::Noput),
        no_delete: filters(FilterType::Nodelete),
        range: KeyRange::new(create.key, create.range_end),
        start_revision: Revision(create.start_revision),
        prev_kv: create.prev_kv,
        progress_notify: create.progress_notify,
    }
}

const fn reason(refusal: WatchRefusal) -> &'static str {
    match refusal {
        WatchRefusal::DuplicateId => watch_reason::DUPLICATE_ID,
        WatchRefusal::EmptyRange => watch_reason::EMPTY_RANGE,
        WatchRefusal::NegativeStart => watch_reason::COMPACTED,
    }
}

/// Adds a message with its prefix.
fn append(message: &WatchMessage<'_>, buffer: &mut BytesMut) {
    let length = message.len();
    // The prefix has 32 bits. Pending events are bounded far below that.
    let prefix = u32::try_from(length).unwrap_or(u32::MAX);
    buffer.reserve(5 + length);
    buffer.put_u8(0);
    buffer.put_u32(prefix);
    message.write(buffer);
}

/// Splits events at their borders into messages below `limit`; all but the last say so.
fn append_fragments(
    header: Header,
    id: WatchId,
    events: &[Event],
    limit: usize,
    buffer: &mut BytesMut,
) {
    let part = |events, fragment| WatchMessage {
        header,
        watch_id: id.0,
        fragment,
        events,
        ..WatchMessage::default()
    };
    let empty = part(&[], true).len();
    let mut rest = events;
    while !rest.is_empty() {
        let mut size = empty;
        let fits = rest
            .iter()
            .take_while(|event| {
                size += WatchMessage::event_len(event);
                size < limit
            })
            .count();
        // A single event above the limit goes alone.
        let (now, later) = rest.split_at(fits.max(1));
        append(&part(now, !later.is_empty()), buffer);
        rest = later;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use helium_mvcc::KeyValue;
    use prost::Message as _;
    use tonic::Code;

    use super::*;

    #[test]
    fn fragments_stay_below_the_limit_and_lose_nothing() {
        let events: Vec<Event> = (0..50)
            .map(|number: i64| {
                let mut kv = KeyValue::tombstone(format!("key{number}").into(), Revision(number));
                kv.version = 1;
                kv.value = vec![7; 100].into();
                Event::new(Arc::new(kv), None)
            })
            .collect();
        let limit = 1000;
        let mut buffer = BytesMut::new();
        append_fragments(Header::default(), WatchId(3), &events, limit, &mut buffer);
        let mut parts = Vec::new();
        while !buffer.is_empty() {
            let prefix = buffer.split_to(5);
            let length = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            assert!(length < limit, "a part of {length} bytes");
            parts.push(pb::WatchResponse::decode(buffer.split_to(length)).expect("a message"));
        }
        let (last, others) = parts.split_last().expect("parts");
        assert!(!last.fragment && others.iter().all(|part| part.fragment));
        let revisions: Vec<i64> = parts
            .iter()
            .flat_map(|part| &part.events)
            .filter_map(|event| event.kv.as_ref())
            .map(|kv| kv.mod_revision)
            .collect();
        assert_eq!(revisions, (0..50).collect::<Vec<i64>>());
    }

    #[test]
    fn streams_that_end_because_of_us_are_opened_again() {
        for refusal in [Refusal::NoLeader, Refusal::LeaderChanged, Refusal::Stopped] {
            // Clients open a watch again after these two codes, and after no other.
            let code = tonic::Status::from(refusal).code();
            assert!(
                matches!(code, Code::Unavailable | Code::Internal),
                "{refusal:?}"
            );
        }
    }
}
