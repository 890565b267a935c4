//! What a leader does: it thinks for a while and writes what it thought to an object that all candidates share, again and again,
//! each write fenced with the token of its term.
//!
//! It doesn't look again whether it leads between thinking and writing: however often a program looks, it can be paused behind
//! its last look.

use std::time::Duration;

use kube::api::{Patch, PatchParams};
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube::{Api, Client, ResourceExt};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::trace::{now, say};

/// How long a write may take. It is longer than any lease: what becomes of late writes is the question.
const PATIENCE: Duration = Duration::from_secs(30);

/// The work, which doesn't begin before it is led.
#[derive(Clone)]
pub(crate) struct Work {
    pub(crate) client: Client,
    pub(crate) identity: String,
    /// `<namespace>/<name>` of the lease.
    pub(crate) lease: String,
    /// Name of a Festival in the namespace default.
    pub(crate) object: String,
    pub(crate) pause: Duration,
}

impl Work {
    /// Works in the term of a token until it is stopped.
    pub(crate) async fn lead(self, token: i64, stop: CancellationToken) {
        let kind = GroupVersionKind::gvk("innsmouth.example.com", "v1", "Festival");
        let resource = ApiResource::from_gvk_with_plural(&kind, "festivals");
        let objects: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), "default", &resource);
        while !stop.is_cancelled() {
            sleep(self.pause).await; // thinks
            self.write(&objects, token).await;
        }
    }

    async fn write(&self, objects: &Api<DynamicObject>, token: i64) {
        let sent = now();
        let patch = json!({"metadata": {"annotations": {
            "helium.dev/fence": format!("{}={token}", self.lease),
            "example.com/holder": self.identity,
            "example.com/token": token.to_string(),
            "example.com/at": sent.to_string(),
        }}});
        let parameters = PatchParams {
            field_manager: Some("work".to_owned()),
            ..PatchParams::default()
        };
        let written = timeout(
            PATIENCE,
            objects.patch(&self.object, &parameters, &Patch::Merge(&patch)),
        )
        .await;
        let (outcome, message, revision): (_, _, Value) = match written {
            Ok(Ok(object)) => (
                "accepted",
                String::new(),
                json!(
                    object
                        .resource_version()
                        .and_then(|text| text.parse::<i64>().ok())
                ),
            ),
            Ok(Err(kube::Error::Api(status))) if (400..500).contains(&status.code) => {
                ("refused", status.message.clone(), Value::Null)
            }
            // A gateway's 5xx says nothing about what is behind it.
            Ok(Err(error)) => ("unknown", error.to_string(), Value::Null),
            Err(_) => ("unknown", "no answer".to_owned(), Value::Null),
        };
        let mut line =
            json!({"token": token, "sent": sent, "outcome": outcome, "message": message});
        if revision.is_i64() {
            line["revision"] = revision;
        }
        say(&self.identity, "wrote", line);
    }
}
