//! A cluster as a kubeconfig names it: one request, one answer, with what the answer says of time.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use helium_telemetry::Chain;
use helium_tls::PublicKeyHash;
use http::{Method, Request, header};
use http_body_util::BodyExt as _;
use jiff::{SignedDuration, Timestamp};
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_json::Value;

use crate::error::{Error, Result};

/// How long one answer may take. A kube-apiserver gives up on what is behind it after a minute; a person sooner.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long it may take to reach a server.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// No document that is read here is larger.
const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// Which cluster is meant.
#[derive(Debug, Clone, Default, Args)]
pub struct Access {
    /// The kubeconfig of a cluster of the fleet. Default: what KUBECONFIG names, or ~/.kube/config.
    #[arg(long)]
    pub kubeconfig: Option<PathBuf>,
    /// Its context. Default: the current one.
    #[arg(long)]
    pub context: Option<String>,
}

/// A way to ask a cluster.
#[derive(Clone)]
pub(crate) struct Connection {
    client: kube::Client,
    server: String,
    namespace: String,
    authorities: Vec<Vec<u8>>,
}

/// What a server said.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// The whole body.
    pub(crate) text: String,
    /// The server's clock when it answered.
    pub(crate) clock: Option<Clock>,
}

/// A server's clock, beside this machine's at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// What the server's showed. HTTP tells whole seconds.
    pub theirs: Timestamp,
    /// What this machine's showed, half way between question and answer.
    pub ours: Timestamp,
}

/// Why there is no answer.
#[derive(Debug, Clone)]
pub enum Refusal {
    /// The server wasn't reached, or didn't answer in time.
    Unreachable(String),
    /// The server refused.
    Status {
        /// The HTTP status.
        code: u16,
        /// The `reason` of the Kubernetes Status; empty if it wasn't one.
        reason: String,
        /// Its message, or the body.
        message: String,
        /// The server's clock.
        clock: Option<Clock>,
    },
}

impl Clock {
    /// Reads the `Date` header of an answer.
    pub(crate) fn read(
        headers: &http::HeaderMap,
        asked: Timestamp,
        answered: Timestamp,
    ) -> Option<Self> {
        let text = headers.get(header::DATE)?.to_str().ok()?;
        let theirs = jiff::fmt::rfc2822::DateTimeParser::new()
            .parse_timestamp(text)
            .ok()?;
        let half = answered.duration_since(asked) / 2;
        let ours = asked.checked_add(half).unwrap_or(answered);
        Some(Self { theirs, ours })
    }

    /// How far the server's clock is ahead of this machine's, in whole seconds; what a second is cut off isn't counted.
    pub(crate) fn ahead(self) -> i64 {
        let difference = self.theirs.duration_since(self.ours) + SignedDuration::from_millis(500);
        difference.as_secs()
    }
}

impl Refusal {
    /// The HTTP status, if there was one.
    pub(crate) fn code(&self) -> Option<u16> {
        match self {
            Self::Status { code, .. } => Some(*code),
            Self::Unreachable(_) => None,
        }
    }

    /// What was said, without the rest.
    pub(crate) fn message(&self) -> &str {
        match self {
            Self::Unreachable(reason) => reason,
            Self::Status { message, .. } => message,
        }
    }

    /// Reads a refusal from an answer with an error code.
    pub(crate) fn of(code: u16, text: &str, clock: Option<Clock>) -> Self {
        let status: Value = serde_json::from_str(text).unwrap_or_default();
        let field = |name: &str| status[name].as_str().map(str::to_owned);
        Self::Status {
            code,
            reason: field("reason").unwrap_or_default(),
            message: field("message").unwrap_or_else(|| text.trim().to_owned()),
            clock,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(reason) => formatter.write_str(reason),
            Self::Status { code, message, .. } => write!(formatter, "{code}: {message}"),
        }
    }
}

impl std::error::Error for Refusal {}

impl Answer {
    /// The body as JSON; null if it isn't.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_default()
    }
}

impl Connection {
    /// Reads the kubeconfig. The cluster isn't asked anything yet.
    pub(crate) async fn open(access: &Access) -> Result<Self> {
        let (what, file) = match &access.kubeconfig {
            Some(path) => (path.display().to_string(), Kubeconfig::read_from(path)),
            None => ("the default kubeconfig".to_owned(), Kubeconfig::read()),
        };
        let unusable = |why: &(dyn std::error::Error + 'static)| Error::ReadKubeconfig {
            what: what.clone(),
            reason: Chain(why).to_string(),
        };
        let file = file.map_err(|error| unusable(&error))?;
        let chosen = KubeConfigOptions {
            context: access.context.clone(),
            ..KubeConfigOptions::default()
        };
        let mut config = kube::Config::from_custom_kubeconfig(file, &chosen)
            .await
            .map_err(|error| unusable(&error))?;
        config.connect_timeout = Some(CONNECT_WITHIN);
        let server = config.cluster_url.to_string();
        let namespace = config.default_namespace.clone();
        let authorities = config.root_cert.clone().unwrap_or_default();
        let client = kube::Client::try_from(config).map_err(|error| unusable(&error))?;
        Ok(Self {
            client,
            server: server.trim_end_matches('/').to_owned(),
            namespace,
            authorities,
        })
    }

    /// The client below.
    pub(crate) fn client(&self) -> kube::Client {
        self.client.clone()
    }

    /// The server's URL.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The context's namespace, or `default`.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The authorities that the kubeconfig gives for the server, in DER.
    pub(crate) fn authorities(&self) -> &[Vec<u8>] {
        &self.authorities
    }

    /// Asks for a path.
    pub(crate) async fn get(&self, path: &str) -> Result<Answer, Refusal> {
        self.get_as(path, "application/json").await
    }

    /// Asks for a path in a certain form.
    pub(crate) async fn get_as(&self, path: &str, accept: &str) -> Result<Answer, Refusal> {
        let request = Request::get(path).header(header::ACCEPT, accept);
        self.send(request.body(Body::empty())).await
    }

    /// Sends a body to a path.
    pub(crate) async fn write(
        &self,
        method: Method,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> Result<Answer, Refusal> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, content_type)
            .body(Body::from(body.to_string().into_bytes()));
        self.send(request).await
    }

    /// Deletes what is at a path.
    pub(crate) async fn delete(&self, path: &str) -> Result<Answer, Refusal> {
        self.send(Request::delete(path).body(Body::empty())).await
    }

    async fn send(&self, request: http::Result<Request<Body>>) -> Result<Answer, Refusal> {
        let request = request.map_err(|error| Refusal::Unreachable(error.to_string()))?;
        let asked = Timestamp::now();
        let answer = async {
            let response = self.client.send(request).await;
            let response =
                response.map_err(|error| Refusal::Unreachable(Chain(&error).to_string()))?;
            let (head, body) = response.into_parts();
            let clock = Clock::read(&head.headers, asked, Timestamp::now());
            let body = http_body_util::Limited::new(body, MAX_BODY_BYTES).collect();
            let bytes = body
                .await
                .map_err(|error| Refusal::Unreachable(error.to_string()))?
                .to_bytes();
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if head.status.is_success() {
                Ok(Answer { text, clock })
            } else {
                Err(Refusal::of(head.status.as_u16(), &text, clock))
            }
        };
        match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(Refusal::Unreachable(format!(
                "no answer within {} s",
                ANSWER_WITHIN.as_secs()
            ))),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Connection")
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// The hashes of the keys of some authorities in DER.
pub(crate) fn key_hashes(authorities: &[Vec<u8>]) -> Vec<PublicKeyHash> {
    authorities
        .iter()
        .filter_map(|der| PublicKeyHash::of(&der.clone().into()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_clock_is_compared_with_the_middle_of_question_and_answer() {
        let mut headers = http::HeaderMap::new();
        let date = http::HeaderValue::from_static("Thu, 01 Jan 2026 01:00:04 GMT");
        headers.insert(header::DATE, date);
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let clock = Clock::read(
            &headers,
            at("2026-01-01T00:00:00Z"),
            at("2026-01-01T00:00:08Z"),
        );
        assert_eq!(clock.map(Clock::ahead), Some(3600));
        assert_eq!(
            Clock::read(&http::HeaderMap::new(), Timestamp::now(), Timestamp::now()),
            None
        );
    }

    #[test]
    fn a_refusal_is_read_from_a_status_or_from_plain_text() {
        let status = r#"{"kind":"Status","reason":"Forbidden","message":"no","code":403}"#;
        assert_eq!(Refusal::of(403, status, None).to_string(), "403: no");
        let plain = Refusal::of(503, "service unavailable\n", None);
        assert_eq!(plain.to_string(), "503: service unavailable");
        assert_eq!(plain.code(), Some(503));
    }
}
