//! Requests to the own cluster's API server, each with a bound.

use std::time::Duration;

use helium_telemetry::Chain;
use http::{Method, Request};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

/// Only what every object has: lists of Secrets don't carry the secrets.
const METADATA_ONLY: &str =
    "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json";
/// JSON is YAML: a server-side apply may be written in it.
pub(super) const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";

/// Why a request has not done what it should.
#[derive(Debug, Clone)]
pub(super) enum Refused {
    /// The server's answer.
    Answer {
        /// HTTP status.
        code: u16,
        /// A Status, as a rule.
        body: Value,
    },
    /// It was never sent: nothing can come of it.
    NotSent(String),
    /// No answer within the bound, or a connection that broke: it may have happened, and may still happen.
    NoAnswer(String),
}

impl Refused {
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Answer { code, .. } => Some(*code),
            Self::NotSent(_) | Self::NoAnswer(_) => None,
        }
    }

    pub(super) fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    pub(super) fn is_conflict(&self) -> bool {
        self.code() == Some(409)
    }
}

/// A client of the cluster.
#[derive(Clone)]
pub(super) struct Wire {
    client: Client,
}

impl std::fmt::Debug for Wire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wire").finish_non_exhaustive()
    }
}

/// Whose rights count.
#[derive(Debug, Clone, Copy)]
pub(super) enum As<'a> {
    /// The agent's own.
    Agent,
    /// Those of a user, whom the agent may impersonate.
    User(&'a str),
}

impl Wire {
    pub(super) fn new(client: Client) -> Self {
        Self { client }
    }

    pub(super) async fn get(
        &self,
        who: As<'_>,
        path: &str,
        bound: Duration,
    ) -> Result<Value, Refused> {
        let request = Request::get(path).header("accept", JSON);
        self.ask(who, request, None, bound).await.map(|(_, v)| v)
    }

    /// The object, or `None` where there is none.
    pub(super) async fn get_opt(
        &self,
        who: As<'_>,
        path: &str,
        bound: Duration,
    ) -> Result<Option<Value>, Refused> {
        match self.get(who, path, bound).await {
            Ok(value) => Ok(Some(value)),
            Err(refused) if refused.is_not_found() => Ok(None),
            Err(refused) => Err(refused),
        }
    }

    /// Metadata of the objects that carry a label. Without a resourceVersion a list is linearizable.
    pub(super) async fn list(
        &self,
        who: As<'_>,
        collection: &str,
        selector: Option<(&str, &str)>,
        bound: Duration,
    ) -> Result<Vec<Value>, Refused> {
        let path = match selector {
            // Labels have no other characters that a query must escape.
            Some((key, value)) => {
                let key = key.replace('/', "%2F");
                format!("{collection}?labelSelector={key}%3D{value}")
            }
            None => collection.to_owned(),
        };
        let request = Request::get(path).header("accept", METADATA_ONLY);
        let (_, mut list) = self.ask(who, request, None, bound).await?;
        match list["items"].take() {
            Value::Array(items) => Ok(items),
            _ => Ok(Vec::new()),
        }
    }

    /// Sends an object. Returns the status (201: created) and the object as it is now.
    pub(super) async fn write(
        &self,
        who: As<'_>,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
        bound: Duration,
    ) -> Result<(u16, Value), Refused> {
        let request = Request::builder()
            .method(method)
            .uri(bounded(path, bound))
            .header("accept", JSON)
            .header("content-type", content_type);
        self.ask(who, request, Some(body), bound).await
    }

    /// Deletes an object if it has this uid. One that is gone is as good.
    pub(super) async fn delete(
        &self,
        who: As<'_>,
        path: &str,
        uid: &str,
        propagation: &str,
        bound: Duration,
    ) -> Result<(), Refused> {
        let options = json!({"apiVersion": "v1", "kind": "DeleteOptions",
            "preconditions": {"uid": uid}, "propagationPolicy": propagation});
        match self
            .write(who, Method::DELETE, path, JSON, &options, bound)
            .await
        {
            Ok(_) => Ok(()),
            // Gone, or another one by now.
            Err(refused) if refused.is_not_found() || refused.is_conflict() => Ok(()),
            Err(refused) => Err(refused),
        }
    }

    async fn ask(
        &self,
        who: As<'_>,
        mut request: http::request::Builder,
        body: Option<&Value>,
        bound: Duration,
    ) -> Result<(u16, Value), Refused> {
        if let As::User(user) = who {
            request = request.header("impersonate-user", user);
        }
        let body = body.map(|body| body.to_string().into_bytes());
        let request = request
            .body(Body::from(body.unwrap_or_default()))
            .map_err(|error| Refused::NotSent(format!("the request can't be built: {error}")))?;
        let answer = async {
            let response = self.client.send(request).await?;
            let code = response.status();
            let bytes = response.into_body().collect_bytes().await?;
            Ok::<_, kube::Error>((code, bytes))
        };
        let (code, bytes) = match tokio::time::timeout(bound, answer).await {
            Err(_elapsed) => {
                let words = format!("no answer within {} ms", bound.as_millis());
                return Err(Refused::NoAnswer(words));
            }
            Ok(Err(error)) => return Err(broken(&error)),
            Ok(Ok(answer)) => answer,
        };
        let value = serde_json::from_slice(&bytes).unwrap_or_else(|_| {
            let text: String = String::from_utf8_lossy(&bytes).chars().take(200).collect();
            json!({"message": text})
        });
        if code.is_success() {
            Ok((code.as_u16(), value))
        } else {
            Err(Refused::Answer {
                code: code.as_u16(),
                body: value,
            })
        }
    }
}

/// The server ends a write by itself when nobody waits for it any more.
fn bounded(path: &str, bound: Duration) -> String {
    let gap = if path.contains('?') { '&' } else { '?' };
    format!("{path}{gap}timeout={}ms", bound.as_millis().max(1))
}

fn broken(error: &kube::Error) -> Refused {
    let words = Chain(error).to_string();
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(found) = cause {
        let io = found.downcast_ref::<std::io::Error>();
        if io.is_some_and(|io| io.kind() == std::io::ErrorKind::ConnectionRefused) {
            return Refused::NotSent(words);
        }
        cause = found.source();
    }
    Refused::NoAnswer(words)
}
