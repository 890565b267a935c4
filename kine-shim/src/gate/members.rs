//! The members, as they stand in the state that this instance has applied.

use std::sync::Arc;

use helium_mvcc::{KeyRange, KeyValue, RangeRequest, WatchBody, WatchRequest};
use helium_tls::MemberRecord;
use serde::Deserialize;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::Gate;
use crate::replica::{Error, Replica, WatchStream};

/// Follows the objects below `prefix` until the replica stops or halts. Woken by each change when it
/// is applied; the database isn't asked.
pub(crate) async fn follow(
    replica: Replica,
    prefix: String,
    gate: Arc<Gate>,
    stop: CancellationToken,
) {
    let following = follow_on(&replica, &prefix, &gate);
    stop.run_until_cancelled(following).await;
}

async fn follow_on(replica: &Replica, prefix: &str, gate: &Gate) {
    loop {
        // After a reload the state is another one, and the watch begins anew. Until then the gate
        // keeps what it knows.
        match replica.wait_ready().await {
            Ok(()) => {}
            Err(Error::Stopped | Error::Halted(_)) => return,
            // It has just begun to load again.
            Err(_) => {
                tokio::task::yield_now().await;
                continue;
            }
        }
        let Ok(stream) = watch(replica, prefix) else {
            continue;
        };
        // Looked at after the watch was opened: whatever comes later is an event.
        look(replica, prefix, gate);
        while changed(&stream).await {
            look(replica, prefix, gate);
        }
    }
}

fn watch(replica: &Replica, prefix: &str) -> crate::replica::Result<WatchStream> {
    let stream = replica.watch_stream()?;
    stream.create(WatchRequest::new(KeyRange::prefix(prefix.to_owned())));
    Ok(stream)
}

/// Waits for a change below the prefix; false at the end of the watch.
async fn changed(stream: &WatchStream) -> bool {
    loop {
        let Ok(poll) = stream.next().await else {
            return false;
        };
        let over = |body: &WatchBody| {
            matches!(
                body,
                WatchBody::Compacted { .. } | WatchBody::Canceled | WatchBody::Refused(_)
            )
        };
        if poll.closed || poll.messages.iter().any(|message| over(&message.body)) {
            return false;
        }
        let mut bodies = poll.messages.iter().map(|message| &message.body);
        if bodies.any(|body| matches!(body, WatchBody::Events(_))) {
            return true;
        }
    }
}

/// Tells the gate what the state says now. A state that is being loaded says nothing.
pub(crate) fn look(replica: &Replica, prefix: &str, gate: &Gate) {
    let request = RangeRequest::new(KeyRange::prefix(prefix.to_owned()));
    let Ok(Ok(found)) = replica.read(|state| state.range(&request)) else {
        return;
    };
    let records = found.kvs.iter().filter_map(|kv| record(prefix, kv));
    gate.update(records.collect());
}

/// What is of interest in a `Member` (group `helium.dev`).
#[derive(Debug, Default, Deserialize)]
struct Member {
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    certificate_authorities: String,
    revoked: bool,
    revoked_reason: String,
}

/// Stands for the authorities of an object that can't be read. It is no PEM: the member is refused,
/// and the fleet is closed, since an unreadable object must not open it.
const UNREADABLE: &str = "unreadable";

fn record(prefix: &str, kv: &KeyValue) -> Option<MemberRecord> {
    let name = kv.key.get(prefix.len()..)?;
    let cluster = std::str::from_utf8(name).ok()?;
    // Whatever lies deeper is no member.
    if cluster.is_empty() || cluster.contains('/') {
        return None;
    }
    let spec = match serde_json::from_slice::<Member>(&kv.value) {
        Ok(member) => member.spec,
        Err(error) => {
            warn!(cluster, %error, "a member in the store can't be read: it is refused");
            Spec {
                certificate_authorities: UNREADABLE.to_owned(),
                ..Spec::default()
            }
        }
    };
    Some(MemberRecord {
        cluster: cluster.to_owned(),
        authorities: spec.certificate_authorities,
        revoked: spec.revoked,
        reason: spec.revoked_reason,
    })
}

#[cfg(test)]
mod tests {
    use helium_mvcc::Revision;

    use super::*;

    fn kv(key: &str, value: &str) -> KeyValue {
        let mut kv = KeyValue::tombstone(key.to_owned().into(), Revision(7));
        kv.value = value.to_owned().into();
        kv
    }

    #[test]
    fn members_are_read_as_the_api_server_writes_them() {
        let value = r#"{"apiVersion":"helium.dev/v1","kind":"Member","metadata":{"name":"eu-1"},
            "spec":{"certificateAuthorities":"PEM","revoked":true,"revokedReason":"moved"},
            "status":{"heartbeat":"helium-system/member-eu-1"}}"#;
        let read = record("/m/", &kv("/m/eu-1", value)).expect("a member");
        assert_eq!(
            read,
            MemberRecord {
                cluster: "eu-1".to_owned(),
                authorities: "PEM".to_owned(),
                revoked: true,
                reason: "moved".to_owned(),
            }
        );
        let blank = record("/m/", &kv("/m/eu-2", "{}")).expect("a member");
        assert_eq!((blank.authorities.as_str(), blank.revoked), ("", false));
        for key in ["/m/", "/m/a/b"] {
            assert_eq!(record("/m/", &kv(key, "{}")), None, "{key}");
        }
    }

    #[test]
    fn an_unreadable_member_is_there_and_has_no_authority() {
        for value in [
            "",
            "k8s\0protobuf",
            r#"{"spec":{"certificateAuthorities":7}}"#,
        ] {
            let read = record("/m/", &kv("/m/eu-1", value)).expect("a member");
            assert_eq!(read.authorities, UNREADABLE, "{value}");
            assert!(!read.revoked);
        }
    }
}
