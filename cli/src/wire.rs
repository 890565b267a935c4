//! HTTP to a server that no kubeconfig names: one connection, one request.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use helium_telemetry::Chain;
use helium_tls::PinnedTls;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::connection::{Answer, Clock, Refusal};

/// How long a server may take from the connection to its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// More than any answer here has.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Where a server is, and which name its certificate must have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    host: String,
    port: u16,
    name: String,
}

impl Target {
    /// A server at an address that is known under another name.
    pub(crate) fn new(host: String, port: u16, name: String) -> Self {
        Self { host, port, name }
    }

    /// The server that a URL names.
    pub(crate) fn of(url: &url::Url) -> Option<Self> {
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Self {
            port: url.port_or_known_default()?,
            name: host.clone(),
            host,
        })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.host, self.port)
    }
}

/// Connects, and ends the connection. What the server has shown is in `tls` afterwards.
///
/// # Errors
/// Why that failed, for people.
pub(crate) async fn handshake(
    target: &Target,
    tls: &PinnedTls,
    bound: Duration,
) -> Result<(), String> {
    match tokio::time::timeout(bound, connect(target, tls)).await {
        Ok(connected) => connected.map(|_stream| ()),
        Err(_elapsed) => Err(format!("no answer within {} s", bound.as_secs())),
    }
}

/// Sends one request and reads the answer.
///
/// # Errors
/// A [`Refusal`]: the server wasn't reached, wasn't the one that was meant, or answered with an error.
pub(crate) async fn send(
    target: &Target,
    tls: &PinnedTls,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<Answer, Refusal> {
    let exchange = async {
        let stream = connect(target, tls).await.map_err(Refusal::Unreachable)?;
        exchange(target, stream, request, body).await
    };
    match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
        Ok(answer) => answer,
        Err(_elapsed) => Err(Refusal::Unreachable(format!(
            "no answer within {} s",
            ANSWER_WITHIN.as_secs()
        ))),
    }
}

async fn connect(target: &Target, tls: &PinnedTls) -> Result<TlsStream<TcpStream>, String> {
    let stream = TcpStream::connect((target.host.as_str(), target.port));
    let stream = stream.await.map_err(|error| Chain(&error).to_string())?;
    let name = ServerName::try_from(target.name.clone()).map_err(|error| error.to_string())?;
    let connector = TlsConnector::from(tls.config());
    let connected = connector.connect(name, stream).await;
    connected.map_err(|error| Chain(&error).to_string())
}

async fn exchange(
    target: &Target,
    stream: TlsStream<TcpStream>,
    request: http::request::Builder,
    body: Vec<u8>,
) -> Result<Answer, Refusal> {
    let unreachable =
        |error: &(dyn std::error::Error + 'static)| Refusal::Unreachable(Chain(error).to_string());
    let io = TokioIo::new(stream);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(io)
        .await
        .map_err(|error| unreachable(&error))?;
    let connection = AbortOnDrop(tokio::spawn(connection));
    let request: Request<Full<Bytes>> = request
        .header(header::HOST, target.to_string())
        .header(
            header::USER_AGENT,
            concat!("helium/", env!("CARGO_PKG_VERSION")),
        )
        .body(Full::from(body))
        .map_err(|error| unreachable(&error))?;
    let asked = Timestamp::now();
    let response = sender.send_request(request).await;
    let (head, body) = response.map_err(|error| unreachable(&error))?.into_parts();
    let clock = Clock::read(&head.headers, asked, Timestamp::now());
    let bytes = Limited::new(body, MAX_BODY_BYTES).collect().await;
    let bytes = bytes
        .map_err(|error| Refusal::Unreachable(error.to_string()))?
        .to_bytes();
    drop(connection);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    if head.status.is_success() {
        Ok(Answer { text, clock })
    } else {
        Err(Refusal::of(head.status.as_u16(), &text, clock))
    }
}

/// A task that ends with its owner.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
