//! Following a prefix.

use std::sync::Arc;

use bytes::Bytes;
use helium_etcd_proto::etcdserverpb as pb;
use helium_etcd_proto::etcdserverpb::watch_client::WatchClient;
use helium_etcd_proto::etcdserverpb::watch_request::RequestUnion;
use helium_etcd_proto::mvccpb;
use helium_etcd_proto::mvccpb::event::EventType;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataValue;

use super::connect::Endpoints;
use super::error::{Error, Result};
use super::kv::{Record, header_revision};
use super::{CALL_TIMEOUT, Prefix, Store};

const DOING: &str = "watch objects";
/// Requests that may wait to be sent: a create and a few progress requests.
const OUTBOUND: usize = 8;

/// A change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The key was created or updated.
    Put {
        /// What is there now.
        record: Record,
        /// What was there before; `None` if it was created.
        previous: Option<Record>,
    },
    /// The key was deleted, at this revision.
    Delete {
        /// The full key.
        key: Bytes,
        /// Revision of the deletion.
        revision: i64,
        /// What was there before, unless the store has forgotten.
        previous: Option<Record>,
    },
}

impl Change {
    /// The revision of the change.
    #[must_use]
    pub fn revision(&self) -> i64 {
        match self {
            Self::Put { record, .. } => record.revision,
            Self::Delete { revision, .. } => *revision,
        }
    }
}

/// What a watch delivers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Update {
    /// The watch is set up. The revision is that of the member that answered, which may lag behind.
    Started {
        /// The member's revision.
        revision: i64,
    },
    /// Changes in revision order; all changes of a revision come together.
    Changes(Vec<Change>),
    /// Everything up to this revision has been delivered.
    Progress {
        /// The revision.
        revision: i64,
    },
}

/// A watch of one prefix, on a stream of its own.
pub struct WatchStream {
    endpoints: Arc<Endpoints>,
    requests: mpsc::Sender<pb::WatchRequest>,
    responses: tonic::Streaming<pb::WatchResponse>,
}

impl Store {
    /// Starts to follow all keys under a prefix from a revision on (inclusive).
    ///
    /// Leader-requiring, as kube-apiserver's watches: a member that is cut off from the others ends
    /// the stream, so that the caller goes elsewhere.
    pub async fn watch(&self, prefix: &Prefix, from: i64) -> Result<WatchStream> {
        let (requests, outbound) = mpsc::channel(OUTBOUND);
        let create = pb::WatchCreateRequest {
            key: Bytes::copy_from_slice(prefix.as_str().as_bytes()),
            range_end: Prefix::end_of(prefix.as_str()).into(),
            start_revision: from,
            progress_notify: true,
            prev_kv: true,
            ..pb::WatchCreateRequest::default()
        };
        let create = pb::WatchRequest {
            request_union: Some(RequestUnion::CreateRequest(create)),
        };
        // The channel is new and not full; the receiver lives below.
        let _ = requests.try_send(create);
        let mut request = tonic::Request::new(ReceiverStream::new(outbound));
        request
            .metadata_mut()
            .insert("hasleader", MetadataValue::from_static("true"));

        let (at, channel) = self.endpoints.pick();
        let mut client = WatchClient::new(channel).max_decoding_message_size(usize::MAX);
        let started = tokio::time::timeout(CALL_TIMEOUT, client.watch(request)).await;
        match started {
            Ok(Ok(response)) => Ok(WatchStream {
                endpoints: Arc::clone(&self.endpoints),
                requests,
                responses: response.into_inner(),
            }),
            Ok(Err(status)) => {
                self.endpoints.failed(at);
                let error = Error::from_status(DOING, false, status);
                self.endpoints.note_admission(Some(&error));
                Err(error)
            }
            Err(_) => {
                self.endpoints.failed(at);
                Err(Error::Timeout {
                    doing: DOING,
                    outcome_known: true,
                })
            }
        }
    }
}

impl WatchStream {
    /// Asks for an [`Update::Progress`] as soon as everything up to now has been delivered. Never waits: if
    /// requests are queued already, one more would tell nothing new.
    pub fn request_progress(&self) {
        let request = pb::WatchRequest {
            request_union: Some(RequestUnion::ProgressRequest(pb::WatchProgressRequest {})),
        };
        let _ = self.requests.try_send(request);
    }

    /// The next update. Safe to cancel. After an error the stream is over; [`Error::Compacted`] says
    /// that the place where it should begin is gone.
    pub async fn next(&mut self) -> Result<Update> {
        loop {
            let response = match self.responses.message().await {
                Ok(Some(response)) => response,
                Ok(None) => {
                    let status = tonic::Status::unavailable("the watch stream ended");
                    return Err(Error::from_status(DOING, false, status));
                }
                Err(status) => {
                    let error = Error::from_status(DOING, false, status);
                    self.endpoints.note_admission(Some(&error));
                    return Err(error);
                }
            };
            self.endpoints.note_admission(None);
            if let Some(update) = interpret(response)? {
                return Ok(update);
            }
        }
    }
}

fn interpret(response: pb::WatchResponse) -> Result<Option<Update>> {
    let revision = header_revision(response.header.as_ref());
    if response.compact_revision > 0 {
        return Err(Error::Compacted {
            oldest: response.compact_revision,
        });
    }
    if response.canceled {
        return Err(Error::Refused {
            doing: DOING,
            reason: response.cancel_reason,
        });
    }
    if response.created {
        return Ok(Some(Update::Started { revision }));
    }
    if response.events.is_empty() {
        return Ok((revision > 0).then_some(Update::Progress { revision }));
    }
    let changes = response.events.into_iter().filter_map(change).collect();
    Ok(Some(Update::Changes(changes)))
}

fn change(event: mvccpb::Event) -> Option<Change> {
    let deleted = event.r#type == i32::from(EventType::Delete);
    let kv = event.kv?;
    Some(if deleted {
        Change::Delete {
            key: kv.key,
            revision: kv.mod_revision,
            previous: event.prev_kv.map(Record::from),
        }
    } else {
        Change::Put {
            record: Record::from(kv),
            previous: event.prev_kv.map(Record::from),
        }
    })
}
