//! Events about MultiClusters, for people: at the control plane, where the objects are.
//!
//! They are written by a task of its own, in order, from a queue of bounded length; what happens while the store is away is told when
//! it is back, with its own time. Nothing waits for them, and when the queue is full the newest is dropped and counted in the log.

use std::time::Duration;

use helium_failover::kind::{MULTI_CLUSTER_GROUP, MULTI_CLUSTER_KIND, MULTI_CLUSTER_VERSION};
use helium_telemetry::Chain;
use jiff::Timestamp;
use kube::Client;
use kube::core::DynamicObject;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::record::micro;

/// Events that wait to be written.
const QUEUE: usize = 512;
/// Time for one.
const REQUEST: Duration = Duration::from_secs(3);
/// Pause after one that couldn't be written.
const RETRY: Duration = Duration::from_secs(2);
/// What couldn't be told for so long isn't told any more.
const STALE: Duration = Duration::from_secs(30 * 60);
/// The longest note (Kubernetes API reference, Event).
const MAX_NOTE: usize = 1024;
/// Who reports.
const CONTROLLER: &str = "helium.dev/failover";

/// The object that an event is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Subject {
    /// A MultiCluster.
    pub(super) fn of(object: &DynamicObject) -> Self {
        Self {
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
        }
    }
}

#[derive(Debug)]
struct News {
    body: Value,
    namespace: String,
    at: tokio::time::Instant,
}

/// Takes events, from any task.
#[derive(Debug, Clone)]
pub(super) struct Recorder {
    queue: mpsc::Sender<News>,
    /// Who reports: the cluster.
    instance: String,
}

/// Writes what recorders take.
#[derive(Debug)]
pub(super) struct Writer {
    queue: mpsc::Receiver<News>,
}

/// A recorder for a cluster, and its writer.
pub(super) fn recorder(cluster: &str) -> (Recorder, Writer) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    let recorder = Recorder {
        queue: sender,
        instance: cluster.to_owned(),
    };
    (recorder, Writer { queue: receiver })
}

impl Recorder {
    /// Tells what became of a MultiCluster. `action` is what was being done, `reason` one word for what came of it.
    pub(super) fn tell(
        &self,
        subject: &Subject,
        warning: bool,
        reason: &str,
        action: &str,
        note: &str,
    ) {
        let body = event(
            subject,
            &self.instance,
            warning,
            reason,
            action,
            note,
            Timestamp::now(),
        );
        let news = News {
            body,
            namespace: subject.namespace.clone(),
            at: tokio::time::Instant::now(),
        };
        if let Err(error) = self.queue.try_send(news) {
            warn!(error = %Chain(&error), reason, "an event is dropped: too many wait");
        }
    }
}

fn event(
    subject: &Subject,
    instance: &str,
    warning: bool,
    reason: &str,
    action: &str,
    note: &str,
    now: Timestamp,
) -> Value {
    let mut note = note.to_owned();
    note.truncate(note.floor_char_boundary(MAX_NOTE));
    let id = uuid::Uuid::new_v4().simple().to_string();
    let mut prefix = subject.name.clone();
    prefix.truncate(prefix.floor_char_boundary(200));
    json!({
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {"name": format!("{prefix}.{}", &id[..16]), "namespace": subject.namespace},
        "eventTime": micro(now),
        "type": if warning { "Warning" } else { "Normal" },
        "reason": reason,
        "action": action,
        "note": note,
        "reportingController": CONTROLLER,
        "reportingInstance": instance,
        "regarding": {
            "apiVersion": format!("{MULTI_CLUSTER_GROUP}/{MULTI_CLUSTER_VERSION}"),
            "kind": MULTI_CLUSTER_KIND,
            "namespace": subject.namespace,
            "name": subject.name,
            "uid": subject.uid,
        },
    })
}

impl Writer {
    /// Writes until stopped; what is queued then is tried once more.
    pub(super) async fn run(
        &mut self,
        mut client: watch::Receiver<Option<Client>>,
        stop: &CancellationToken,
    ) {
        loop {
            let news = tokio::select! {
                biased;
                news = self.queue.recv() => news,
                () = stop.cancelled() => return,
            };
            let Some(news) = news else {
                return;
            };
            while news.at.elapsed() < STALE {
                let current = client.borrow_and_update().clone();
                match post(current, &news).await {
                    Ok(()) => break,
                    // Another try won't change it: the namespace is being deleted, or rights are missing.
                    Err(kube::Error::Api(status)) if (400..500).contains(&status.code) => {
                        debug!(error = status.message, "an event was refused");
                        break;
                    }
                    Err(error) => debug!(error = %Chain(&error), "an event waits for the store"),
                }
                tokio::select! {
                    () = stop.cancelled() => return,
                    Ok(()) = client.changed() => {}
                    () = tokio::time::sleep(RETRY) => {}
                }
            }
        }
    }
}

async fn post(client: Option<Client>, news: &News) -> Result<(), kube::Error> {
    let unreachable = |error: std::io::Error| kube::Error::Service(Box::new(error));
    let client = client.ok_or_else(|| unreachable(std::io::ErrorKind::NotConnected.into()))?;
    let path = format!(
        "/apis/events.k8s.io/v1/namespaces/{}/events",
        news.namespace
    );
    let request = http::Request::post(path)
        .header("content-type", "application/json")
        .body(news.body.to_string().into_bytes())
        .map_err(|error| kube::Error::Service(Box::new(error)))?;
    tokio::time::timeout(REQUEST, client.request::<Value>(request))
        .await
        .map_err(|_elapsed| unreachable(std::io::ErrorKind::TimedOut.into()))?
        .map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scripted::{Scripted, refusal};

    fn subject() -> Subject {
        Subject {
            namespace: "default".to_owned(),
            name: "newyork".to_owned(),
            uid: "1".to_owned(),
        }
    }

    #[test]
    fn an_event_says_what_became_of_which_object() {
        let now = Timestamp::UNIX_EPOCH;
        let mut made = event(
            &subject(),
            "east",
            true,
            "InvalidPayload",
            "Read",
            "say what",
            now,
        );
        let name = made["metadata"]["name"].take();
        assert!(name.as_str().unwrap().starts_with("newyork."));
        insta::assert_json_snapshot!("event", made);
        let long = event(&subject(), "east", false, "R", "A", &"ä".repeat(2000), now);
        assert_eq!(long["note"].as_str().unwrap().len(), MAX_NOTE);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_store_could_not_take_is_told_later_and_in_order() {
        let (recorder, mut writer) = recorder("east");
        for reason in ["One", "Two"] {
            recorder.tell(&subject(), false, reason, "Act", "…");
        }
        let server = Scripted::new([
            refusal(503, "ServiceUnavailable"),
            (201, json!({})),
            refusal(403, "Forbidden"),
        ]);
        let (_clients, receiver) = watch::channel(Some(server.client()));
        let stop = CancellationToken::new();
        let done = async {
            while server.asked().len() < 3 {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            stop.cancel();
        };
        tokio::join!(writer.run(receiver, &stop), done);
        let reasons: Vec<_> = server
            .asked()
            .iter()
            .map(|asked| asked.body["reason"].clone())
            .collect();
        assert_eq!(reasons, ["One", "One", "Two"]);
    }
}
