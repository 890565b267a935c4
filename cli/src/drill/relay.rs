//! `helium drill relay`: carries connections between the parts of a cluster, and can be told not to.
//!
//! One process for each cluster, with a listener for each of its links. What a cut looks like to those who are cut off:
//!
//! 1. Connections stay. Nobody is told that the other end is away; no end is passed on either.
//! 2. What was sent in the direction that is cut is kept: by the relay at most one buffer for each connection, by the kernel what its buffers
//!    hold, and then the sender waits. It arrives, in order and complete, when the link carries again. So does TCP, which sends
//!    again what was lost; a write that arrives long after its sender has given up is one of the things that a drill is for.
//! 3. A connection that is made during a cut of either direction isn't answered: the other end hears of it after the cut.
//!    (That it is *accepted* can't be prevented here; to a client it is a server that says nothing.)
//! 4. `refuse` is no cut but a server that is gone: connections are reset.
//!
//! It is told by [`control`], a socket in the file system; it knows nothing of fleets, and won't look into what it carries.

pub(crate) mod control;
mod pump;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, info, warn};

use crate::error::{Error, Result};
use crate::options::{DrillRelayOptions, LinkMode, LinkOption};

/// More connections than the parts of a cluster ever have on one link.
const MAX_CONNECTIONS: usize = 1_024;

/// A link's name, and where it is told what to carry.
pub(crate) type Links = BTreeMap<String, watch::Sender<LinkMode>>;

/// Carries until it is told to end (SIGTERM, Ctrl-C).
pub(crate) async fn run(options: DrillRelayOptions) -> Result<()> {
    let DrillRelayOptions { control, links } = options;
    let cancel = CancellationToken::new();
    let tasks = TaskTracker::new();
    let mut modes = Links::new();
    for link in links {
        let listener = listen(&link)?;
        let (sender, receiver) = watch::channel(LinkMode::Pass);
        modes.insert(link.name.clone(), sender);
        tasks.spawn(serve(
            link,
            listener,
            receiver,
            tasks.clone(),
            cancel.clone(),
        ));
    }
    let server = control::Server::open(&control, Arc::new(modes))?;
    tasks.spawn(server.run(tasks.clone(), cancel.clone()));
    info!(control = %control.display(), "carrying");
    super::interrupted().await;
    cancel.cancel();
    tasks.close();
    tasks.wait().await;
    Ok(())
}

fn listen(link: &LinkOption) -> Result<TcpListener> {
    let error = |source| Error::listen(link.listen, &format!("link {}", link.name), source);
    let socket = if link.listen.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    };
    let socket = socket.map_err(error)?;
    // A relay that was killed is started again at the same place.
    socket.set_reuseaddr(true).map_err(error)?;
    socket.bind(link.listen).map_err(error)?;
    socket.listen(256).map_err(error)
}

async fn serve(
    link: LinkOption,
    listener: TcpListener,
    mode: watch::Receiver<LinkMode>,
    tasks: TaskTracker,
    cancel: CancellationToken,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        // Waiting for room here leaves newcomers in the kernel's queue.
        let permit = tokio::select! {
            () = cancel.cancelled() => return,
            permit = Arc::clone(&room).acquire_owned() => permit,
        };
        let accepted = tokio::select! {
            () = cancel.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let client = match accepted {
            Ok((client, _address)) => client,
            Err(error) => {
                // Out of file descriptors, or a client that was gone before it was accepted.
                warn!(link = link.name, %error, "a connection can't be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let (name, target) = (link.name.clone(), link.target);
        let (mode, cancel) = (mode.clone(), cancel.clone());
        tasks.spawn(async move {
            let _permit = permit;
            tokio::select! {
                () = cancel.cancelled() => {}
                ended = carry(client, target, mode) => {
                    if let Err(error) = ended {
                        debug!(link = name, %error, "a connection ended");
                    }
                }
            }
        });
    }
}

async fn carry(
    client: TcpStream,
    target: std::net::SocketAddr,
    mut mode: watch::Receiver<LinkMode>,
) -> std::io::Result<()> {
    if *mode.borrow_and_update() == LinkMode::Refuse {
        return client.set_zero_linger();
    }
    // Rule 3: neither a request to connect nor its answer comes through a cut.
    pump::carries(&mut mode, pump::Direction::Up).await?;
    pump::carries(&mut mode, pump::Direction::Down).await?;
    let server = match TcpStream::connect(target).await {
        Ok(server) => server,
        Err(error) => {
            client.set_zero_linger()?;
            return Err(error);
        }
    };
    pump::both(client, server, mode).await
}
