//! The client half: follows one member's commits.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use helium_etcd_proto::peer as pb;
use helium_etcd_proto::peer::peer_client::PeerClient;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};

use super::wire;
use crate::replica::LinkTls;
use crate::replica::backoff::Backoff;
use crate::replica::shared::Shared;
use crate::replica::status::MemberView;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const KEEP_ALIVE: Duration = Duration::from_secs(5);
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(10);

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("member advertises no address that a link can use")]
    NoAddress,
    #[error("member advertises no TLS, so that nobody knows who it is")]
    Plain,
    #[error("connecting")]
    Connect(#[source] tonic::transport::Error),
    #[error("following: {}", .0.message())]
    Follow(Box<tonic::Status>),
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        Self::Follow(Box::new(status))
    }
}

/// Follows a member until it is cancelled.
pub(super) async fn run(shared: Arc<Shared>, member: MemberView, cancel: CancellationToken) {
    tokio::select! {
        () = cancel.cancelled() => {}
        () = follow(&shared, &member) => {}
    }
}

async fn follow(shared: &Shared, member: &MemberView) {
    let mut backoff = Backoff::new(RETRY_MIN, RETRY_MAX);
    let mut changes = Changes::new(shared);
    loop {
        for url in &member.client_urls {
            match follow_once(shared, url, &mut backoff).await {
                Ok(()) => tracing::debug!(member = %member.id, "link ended"),
                Err(error) => tracing::debug!(
                    member = %member.id,
                    url,
                    error = helium_journal::chain(&error),
                    "link failed"
                ),
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_pause()) => {}
            // What was refused may be accepted now.
            () = changes.next() => backoff.reset(),
        }
    }
}

async fn follow_once(shared: &Shared, url: &str, backoff: &mut Backoff) -> Result<(), Error> {
    // Subscribed before the handshake: what changes after it was judged ends the link.
    let mut changes = Changes::new(shared);
    let mut client =
        PeerClient::new(connect(shared, url).await?).max_decoding_message_size(usize::MAX);
    let request = pb::FollowRequest {
        cluster_id: shared.cluster_id,
        log_id: shared.journal.log_id().0,
        applied: shared.position().slot.0,
        member_id: shared.member_id.0,
    };
    let mut entries = tokio::select! {
        () = changes.next() => return Ok(()),
        entries = client.follow(request) => entries?.into_inner(),
    };
    backoff.reset();
    tracing::debug!(url, "link is up");
    // What was committed before the link was up comes from the database.
    shared.behind.store(true, Ordering::Release);
    shared.follower.notify_one();
    loop {
        let message = tokio::select! {
            biased;
            () = changes.next() => return Ok(()),
            message = entries.message() => message?,
        };
        let Some(message) = message else {
            return Ok(());
        };
        if let Some(entry) = wire::from_wire(message) {
            super::super::follower::offer(shared, &entry);
        }
    }
}

/// Changes of who is accepted.
struct Changes(Option<watch::Receiver<u64>>);

impl Changes {
    fn new(shared: &Shared) -> Self {
        let tls = shared.options.link_tls.as_ref();
        let mut changes = tls.and_then(|tls| tls.changes.clone());
        if let Some(changes) = &mut changes {
            changes.mark_unchanged();
        }
        Self(changes)
    }

    /// Waits for the next one; for ever where there are none.
    async fn next(&mut self) {
        let changed = match &mut self.0 {
            Some(changes) => changes.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            std::future::pending::<()>().await;
        }
    }
}

async fn connect(shared: &Shared, url: &str) -> Result<Channel, Error> {
    let endpoint = Endpoint::from_shared(url.to_owned())
        .map_err(Error::Connect)?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEP_ALIVE)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .tcp_nodelay(true);
    match (endpoint.uri().scheme_str(), &shared.options.link_tls) {
        (
            Some("http"),
            Some(LinkTls {
                changes: Some(_), ..
            }),
        ) => Err(Error::Plain),
        (Some("http"), _) => endpoint.connect().await.map_err(Error::Connect),
        (Some("https"), Some(tls)) => {
            let tls = TlsConnector::from(Arc::clone(&tls.config));
            let connector = tower::service_fn(move |uri| dial(tls.clone(), uri));
            endpoint
                .connect_with_connector(connector)
                .await
                .map_err(Error::Connect)
        }
        _ => Err(Error::NoAddress),
    }
}

async fn dial(tls: TlsConnector, uri: http::Uri) -> io::Result<TokioIo<TlsStream<TcpStream>>> {
    let host = uri.host().ok_or(io::ErrorKind::InvalidInput)?;
    let host = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .to_owned();
    let tcp = TcpStream::connect((host.as_str(), uri.port_u16().unwrap_or(443))).await?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(host).map_err(io::Error::other)?;
    Ok(TokioIo::new(tls.connect(name, tcp).await?))
}
