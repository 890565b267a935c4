//! One connection, both ways.

use std::io;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::watch;

use crate::options::LinkMode;

const BUFFER_BYTES: usize = 16 * 1024;

/// A direction of a link, seen by who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// Requests.
    Up,
    /// Answers.
    Down,
}

impl Direction {
    fn is_carried(self, mode: LinkMode) -> bool {
        match mode {
            LinkMode::Pass => true,
            LinkMode::DropUp => self == Self::Down,
            LinkMode::DropDown => self == Self::Up,
            LinkMode::Drop | LinkMode::Refuse => false,
        }
    }
}

/// Waits until a link carries in a direction.
///
/// # Errors
/// It refuses, or the relay ends.
pub(super) async fn carries(
    mode: &mut watch::Receiver<LinkMode>,
    direction: Direction,
) -> io::Result<()> {
    let settled = mode.wait_for(|&mode| mode == LinkMode::Refuse || direction.is_carried(mode));
    let now = *settled.await.map_err(io::Error::other)?;
    if now == LinkMode::Refuse {
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    Ok(())
}

/// Carries until both ends have ended, or one is lost: then the other loses it too.
pub(super) async fn both(
    client: TcpStream,
    server: TcpStream,
    mut mode: watch::Receiver<LinkMode>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    let (mut up, mut down) = (
        Pipe::new(client_read, server_write, Direction::Up, mode.clone()),
        Pipe::new(server_read, client_write, Direction::Down, mode.clone()),
    );
    let ended = {
        // The refusal ends a pipe that waits for a reader, too.
        let refused = async {
            let _ended = mode.wait_for(|&mode| mode == LinkMode::Refuse).await;
            Err(io::Error::from(io::ErrorKind::ConnectionReset))
        };
        let carried = async { tokio::try_join!(up.run(), down.run()).map(|_both| ()) };
        tokio::select! {
            ended = refused => ended,
            ended = carried => ended,
        }
    };
    if ended.is_err() {
        // What an end of a lost connection sees, instead of one that ended in order.
        let _gone = up.to.as_ref().set_zero_linger();
        let _gone = down.to.as_ref().set_zero_linger();
        // Dropped, a half would first say that it has ended in order.
        up.to.forget();
        down.to.forget();
    }
    ended
}

struct Pipe {
    from: OwnedReadHalf,
    to: OwnedWriteHalf,
    direction: Direction,
    mode: watch::Receiver<LinkMode>,
    buffer: Vec<u8>,
}

impl Pipe {
    fn new(
        from: OwnedReadHalf,
        to: OwnedWriteHalf,
        direction: Direction,
        mode: watch::Receiver<LinkMode>,
    ) -> Self {
        Self {
            from,
            to,
            direction,
            mode,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    async fn run(&mut self) -> io::Result<()> {
        loop {
            carries(&mut self.mode, self.direction).await?;
            let count = tokio::select! {
                changed = self.mode.changed() => {
                    changed.map_err(io::Error::other)?;
                    continue;
                }
                count = self.from.read(&mut self.buffer) => count?,
            };
            // What was read at the moment of the cut arrives after it, and so does the end.
            carries(&mut self.mode, self.direction).await?;
            if count == 0 {
                return self.to.shutdown().await;
            }
            self.to.write_all(&self.buffer[..count]).await?;
        }
    }
}
