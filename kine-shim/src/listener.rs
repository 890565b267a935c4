//! Sockets: where a server listens, and the loop that takes connections.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use helium_tls::ServerTls;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// `host:port`; port 0 takes a free one. An empty host means every address.
    Tcp(String),
    /// The path of a Unix socket.
    Unix(PathBuf),
}

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not an address to listen on: write host:port, tcp://host:port or unix:///path"
)]
pub struct AddressError {
    text: String,
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || AddressError {
            text: text.to_owned(),
        };
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.is_empty() {
                Err(error())
            } else {
                Ok(Self::Unix(path.into()))
            };
        }
        // kine takes any scheme in front of host and port.
        let rest = text.split_once("://").map_or(text, |(_scheme, rest)| rest);
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (host, port) = rest.rsplit_once(':').ok_or_else(error)?;
        if port.parse::<u16>().is_err() || host.contains('/') {
            return Err(error());
        }
        Ok(Self::Tcp(rest.to_owned()))
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

/// Why a server can't listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody else has the port.
    #[error(
        "{address}: address already in use: is another kine-shim or etcd running there? \
         Stop it, or choose another port"
    )]
    InUse {
        /// The address that was asked for.
        address: ListenAddress,
    },
    /// Anything else that the system objects to.
    #[error("listening on {address}")]
    Failed {
        /// The address that was asked for.
        address: ListenAddress,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

/// A bound socket that takes connections.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// Removes a Unix socket's file when the server ends.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A file that is gone already is what we want.
        let _already_gone = std::fs::remove_file(&self.0);
    }
}

impl Listener {
    /// Binds the address. Clients may connect from then on; they wait until they are accepted.
    pub(crate) async fn bind(address: &ListenAddress) -> Result<Self, BindError> {
        let bound = match address {
            ListenAddress::Tcp(text) => {
                let text = match text.strip_prefix(':') {
                    Some(port) => format!("0.0.0.0:{port}"),
                    None => text.clone(),
                };
                TcpListener::bind(text).await.map(Self::Tcp)
            }
            ListenAddress::Unix(path) => bind_unix(path),
        };
        bound.map_err(|source| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse {
                address: address.clone(),
            },
            _ => BindError::Failed {
                address: address.clone(),
                source,
            },
        })
    }

    /// The address of a TCP socket, with the port that was chosen.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }
}

fn bind_unix(path: &Path) -> io::Result<Listener> {
    use std::os::unix::fs::PermissionsExt as _;
    // A file that nobody listens on was left behind by a server that was killed.
    if path.exists() && std::os::unix::net::UnixStream::connect(path).is_err() {
        std::fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(Listener::Unix(listener, SocketFile(path.to_owned())))
}

/// How long a client may take for its TLS handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Pause after the system refused to accept (no more file descriptors, usually).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A connected client, over whatever it came.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send + 'static> Socket for S {}

/// Where a connection comes from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// A Unix socket: whoever may open its file.
    Local,
    /// The network, with the certificates that the client has shown, its own first.
    Network(Vec<CertificateDer<'static>>),
}

/// What to do with a connection. A trait rather than a closure: it is called with different kinds
/// of sockets.
pub(crate) trait Serve: Clone + Send + Sync + 'static {
    /// A handshake has failed.
    fn handshake_failed(&self, _error: &io::Error) {}

    /// Serves the connection until it ends.
    fn serve<S: Socket>(self, socket: S, origin: Origin) -> impl Future<Output = ()> + Send;
}

/// Takes connections until `stop`, and serves each in a task of `tasks`.
pub(crate) async fn accept<H: Serve>(
    listener: Listener,
    tls: Option<ServerTls>,
    handler: H,
    tasks: TaskTracker,
    stop: CancellationToken,
) {
    let acceptor = tls.map(|tls| TlsAcceptor::from(tls.config()));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = take(&listener) => accepted,
        };
        let handler = handler.clone();
        match accepted {
            Ok(Accepted::Tcp(socket)) => {
                if let Err(error) = socket.set_nodelay(true) {
                    debug!(%error, "a connection was gone at once");
                    continue;
                }
                match &acceptor {
                    Some(acceptor) => {
                        let acceptor = acceptor.clone();
                        tasks.spawn(async move {
                            let handshake = acceptor.accept(socket);
                            match tokio::time::timeout(HANDSHAKE, handshake).await {
                                Ok(Ok(socket)) => {
                                    let shown = socket.get_ref().1.peer_certificates();
                                    let origin =
                                        Origin::Network(shown.unwrap_or_default().to_vec());
                                    handler.serve(socket, origin).await;
                                }
                                Ok(Err(error)) => {
                                    debug!(%error, "TLS handshake failed");
                                    handler.handshake_failed(&error);
                                }
                                Err(_elapsed) => debug!("TLS handshake took too long"),
                            }
                        });
                    }
                    None => {
                        let origin = Origin::Network(Vec::new());
                        drop(tasks.spawn(handler.serve(socket, origin)));
                    }
                }
            }
            Ok(Accepted::Unix(socket)) => drop(tasks.spawn(handler.serve(socket, Origin::Local))),
            Err(error) => {
                warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

enum Accepted {
    Tcp(tokio::net::TcpStream),
    Unix(tokio::net::UnixStream),
}

async fn take(listener: &Listener) -> io::Result<Accepted> {
    match listener {
        Listener::Tcp(listener) => Ok(Accepted::Tcp(listener.accept().await?.0)),
        Listener::Unix(listener, _file) => Ok(Accepted::Unix(listener.accept().await?.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_as_kine_reads_them() {
        for (text, address) in [
            ("127.0.0.1:2379", "127.0.0.1:2379"),
            ("http://0.0.0.0:2379", "0.0.0.0:2379"),
            ("tcp://[::1]:0", "[::1]:0"),
            (":8080", ":8080"),
            ("unix:///tmp/kine.sock", "unix:///tmp/kine.sock"),
            ("unix://kine.sock", "unix://kine.sock"),
        ] {
            let parsed: ListenAddress = text.parse().expect(text);
            assert_eq!(parsed.to_string(), address);
        }
        for text in ["", "localhost", "host:port", "unix://", "1.2.3.4:99999"] {
            assert!(text.parse::<ListenAddress>().is_err(), "{text}");
        }
    }
}
