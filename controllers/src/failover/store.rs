//! The group's Lease at the store: one request for each action, bounded, and what its answer means.
//!
//! The time of sending is taken before the request leaves, so a term's deadline never counts from later than what the store may
//! have seen first (F2). An answer that doesn't tell is `Unknown`, and nothing is repeated here: the machine decides.

use std::time::Duration;

use helium_failover::lease::LeaseView;
use helium_failover::machine::StoreDone;
use helium_failover::{Boot, GroupName};
use kube::Client;
use serde_json::Value;
use tracing::debug;

use super::clock;
use helium_telemetry::Chain;

/// The longest time for one request, whatever the lease's duration.
const LONGEST: Duration = Duration::from_secs(5);

/// What a write came to.
#[derive(Debug)]
pub(super) struct Answer {
    /// When it was sent, or would have been.
    pub(super) sent: Boot,
    /// What it means.
    pub(super) done: StoreDone,
    /// The record as it is in the store now, if the answer has it.
    pub(super) record: Option<Value>,
    /// Why it wasn't written, for people.
    pub(super) refusal: Option<String>,
    /// How long the answer took.
    pub(super) took: Duration,
}

/// How long a request may take within a term of that duration: T/4, and at most [`LONGEST`].
pub(super) fn bound(lease: Duration) -> Duration {
    (lease / 4).min(LONGEST)
}

fn path(group: &GroupName) -> String {
    format!(
        "/apis/{}/namespaces/{}/leases",
        super::record::API_VERSION,
        group.namespace
    )
}

/// Writes a record: creates it where it has no resourceVersion, replaces the one that it names else.
pub(super) async fn write(
    client: Option<Client>,
    group: &GroupName,
    record: &Value,
    bound: Duration,
    begins: bool,
) -> Answer {
    let sent = clock::now();
    let Some(client) = client else {
        // The credentials are being replaced.
        return Answer {
            sent,
            done: StoreDone::Unknown,
            record: None,
            refusal: None,
            took: Duration::ZERO,
        };
    };
    let exists = record["metadata"]["resourceVersion"].is_string();
    let request = if exists {
        http::Request::put(format!("{}/{}", path(group), group.lease()))
    } else {
        http::Request::post(path(group))
    };
    let request = request
        .header("content-type", "application/json")
        .body(record.to_string().into_bytes());
    let asked = async {
        let request = request.map_err(|error| kube::Error::Service(Box::new(error)))?;
        client.request::<Value>(request).await
    };
    let answer = tokio::time::timeout(bound, asked).await;
    let took = clock::now().since(sent);
    let (done, record, refusal) = match answer {
        Ok(Ok(record)) => (
            StoreDone::Written(LeaseView::of(&record)),
            Some(record),
            None,
        ),
        Ok(Err(error)) => {
            let done = judge(&error, begins);
            debug!(%group, error = %Chain(&error), ?done, "writing the group's lease failed");
            (done, None, refusal(&error))
        }
        Err(_elapsed) => {
            debug!(%group, ?bound, "writing the group's lease took too long");
            (StoreDone::Unknown, None, None)
        }
    };
    Answer {
        sent,
        done,
        record,
        refusal,
        took,
    }
}

/// What a failure says about the write.
fn judge(error: &kube::Error, begins: bool) -> StoreDone {
    let kube::Error::Api(status) = error else {
        return StoreDone::Unknown;
    };
    let after = status
        .details
        .as_ref()
        .map(|details| u64::from(details.retry_after_seconds))
        .filter(|seconds| *seconds > 0);
    match status.code {
        404 | 409 => StoreDone::Refused,
        503 if begins && status.message.contains("store went back in time") => {
            StoreDone::NotYet(Duration::from_secs(after.unwrap_or(1)))
        }
        // The machine looks again, and pauses the longer the more often that happens.
        400..500 => StoreDone::Refused,
        _ => StoreDone::Unknown,
    }
}

/// What a person should know: a refusal that isn't about who was faster.
fn refusal(error: &kube::Error) -> Option<String> {
    match error {
        kube::Error::Api(status)
            if (400..500).contains(&status.code) && !matches!(status.code, 404 | 409 | 429) =>
        {
            Some(status.message.clone())
        }
        _ => None,
    }
}

/// Reads the record, as it is in the store now.
pub(super) async fn read(client: Option<Client>, group: &GroupName, bound: Duration) -> Answer {
    let sent = clock::now();
    let asked = async {
        let path = format!("{}/{}", path(group), group.lease());
        let request = http::Request::get(path).body(Vec::new()).ok()?;
        match client?.request::<Value>(request).await {
            Ok(record) => Some(Some(record)),
            Err(kube::Error::Api(status)) if status.is_not_found() => Some(None),
            Err(error) => {
                debug!(%group, error = %Chain(&error), "reading the group's lease failed");
                None
            }
        }
    };
    let found = tokio::time::timeout(bound, asked).await.ok().flatten();
    Answer {
        sent,
        done: match &found {
            None => StoreDone::Unknown,
            Some(record) => StoreDone::Read(record.as_ref().map(LeaseView::of)),
        },
        record: found.flatten(),
        refusal: None,
        took: clock::now().since(sent),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scripted::{Scripted, refusal};

    fn group() -> GroupName {
        GroupName {
            namespace: "default".to_owned(),
            callsign: "city".to_owned(),
        }
    }

    async fn written(answer: (u16, Value), begins: bool) -> (Answer, Scripted) {
        let server = Scripted::new([answer]);
        let record = json!({"metadata": {"name": "failover-city", "resourceVersion": "3"}});
        let bound = Duration::from_secs(1);
        let answer = write(Some(server.client()), &group(), &record, bound, begins).await;
        (answer, server)
    }

    #[tokio::test]
    async fn a_record_is_put_on_the_one_that_it_replaces() {
        let stored = json!({"metadata": {"resourceVersion": "4",
            "annotations": {"helium.dev/fencing-token": "4"}}, "spec": {"holderIdentity": "east"}});
        let before = clock::now();
        let (answer, server) = written((200, stored.clone()), true).await;
        assert!(answer.sent >= before && answer.sent <= clock::now());
        assert_eq!(answer.done, StoreDone::Written(LeaseView::of(&stored)));
        let asked = &server.asked()[0];
        assert_eq!(asked.method, "PUT");
        assert_eq!(
            asked.path,
            "/apis/coordination.helium.dev/v1/namespaces/default/leases/failover-city"
        );
        assert_eq!(asked.body["metadata"]["resourceVersion"], "3");
        // A record without one is made.
        let server = Scripted::new([(201, stored)]);
        let record = json!({"metadata": {"name": "failover-city"}});
        let bound = Duration::from_secs(1);
        write(Some(server.client()), &group(), &record, bound, true).await;
        assert_eq!(server.asked()[0].method, "POST");
    }

    #[tokio::test]
    async fn only_an_answer_that_tells_is_believed() {
        for (code, begins, done) in [
            (409, false, StoreDone::Refused),
            (404, true, StoreDone::Refused),
            (403, false, StoreDone::Refused),
            (403, true, StoreDone::Refused),
            (500, false, StoreDone::Unknown),
            (503, true, StoreDone::Unknown),
            (504, true, StoreDone::Unknown),
        ] {
            let (answer, _) = written(refusal(code, "No"), begins).await;
            assert_eq!(answer.done, done, "{code} {begins}");
            assert_eq!(answer.refusal.is_some(), code == 403);
        }
    }

    #[tokio::test]
    async fn a_store_that_went_back_in_time_says_when_to_ask_again() {
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 503,
            "reason": "ServiceUnavailable", "message": "no term begins: the store went back in time",
            "details": {"retryAfterSeconds": 7}});
        let (answer, _) = written((503, status.clone()), true).await;
        assert_eq!(answer.done, StoreDone::NotYet(Duration::from_secs(7)));
        let (answer, _) = written((503, status), false).await;
        assert_eq!(answer.done, StoreDone::Unknown);
    }

    #[tokio::test]
    async fn what_is_read_may_be_absent() {
        let server = Scripted::new([refusal(404, "NotFound")]);
        let answer = read(Some(server.client()), &group(), LONGEST).await;
        assert_eq!(answer.done, StoreDone::Read(None));
        let server = Scripted::new([refusal(503, "ServiceUnavailable")]);
        let answer = read(Some(server.client()), &group(), LONGEST).await;
        assert_eq!(answer.done, StoreDone::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_silent_leaves_it_open() {
        let service = tower::service_fn(|_: http::Request<kube::client::Body>| {
            std::future::pending::<
                Result<http::Response<kube::client::Body>, std::convert::Infallible>,
            >()
        });
        let client = Client::new(service, "default");
        let bound = bound(Duration::from_secs(15));
        assert_eq!(bound, Duration::from_millis(3750));
        let answer = write(Some(client.clone()), &group(), &json!({}), bound, true).await;
        assert_eq!(answer.done, StoreDone::Unknown);
        let read = read(Some(client), &group(), bound).await;
        assert_eq!(read.done, StoreDone::Unknown);
        assert_eq!(super::bound(Duration::from_secs(60)), LONGEST);
    }
}
