//! How a relay is told what to carry: one line of text to a socket in the file system, one line of JSON back.
//!
//! `list` and `set <link> <mode>`; the answer is `{"links": {"<link>": "<mode>", …}}` with what holds then, or `{"error": "…"}`. When a `set` is
//! answered, nothing more comes through than what was in the kernel's hands.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum as _;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Links;
use crate::error::{DrillError, Result};
use crate::options::LinkMode;

/// No request or answer is longer.
const MAX_LINE_BYTES: u64 = 64 * 1024;
/// How long an exchange may take: it is done in memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// What a relay carries, or what is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Answer {
    /// All links.
    Links(BTreeMap<String, LinkMode>),
    /// What is wrong.
    Error(String),
}

/// Listens for orders. The socket goes when this is dropped.
pub(super) struct Server {
    listener: UnixListener,
    path: PathBuf,
    links: Arc<Links>,
}

impl Server {
    /// Takes the place of a relay that was killed, and nobody else's.
    pub(super) fn open(path: &Path, links: Arc<Links>) -> Result<Self> {
        let error = |source| DrillError::File {
            doing: "listening on",
            path: path.to_owned(),
            source,
        };
        if std::os::unix::net::UnixStream::connect(path).is_ok() {
            return Err(error(io::ErrorKind::AddrInUse.into()).into());
        }
        match std::fs::remove_file(path) {
            Ok(()) => {}
            Err(failed) if failed.kind() == io::ErrorKind::NotFound => {}
            Err(failed) => return Err(error(failed).into()),
        }
        let listener = UnixListener::bind(path).map_err(error)?;
        Ok(Self {
            listener,
            path: path.to_owned(),
            links,
        })
    }

    pub(super) async fn run(self, tasks: TaskTracker, cancel: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                () = cancel.cancelled() => return,
                accepted = self.listener.accept() => accepted,
            };
            let Ok((stream, _address)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (links, cancel) = (Arc::clone(&self.links), cancel.clone());
            tasks.spawn(async move {
                tokio::select! {
                    () = cancel.cancelled() => {}
                    // Who doesn't ask, or doesn't read the answer, is nobody's concern.
                    _ended = tokio::time::timeout(ANSWER_WITHIN, answer(stream, &links)) => {}
                }
            });
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _gone = std::fs::remove_file(&self.path);
    }
}

async fn answer(mut stream: UnixStream, links: &Links) -> io::Result<()> {
    let (read, mut write) = stream.split();
    let mut line = String::new();
    BufReader::new(read.take(MAX_LINE_BYTES))
        .read_line(&mut line)
        .await?;
    let mut text = serde_json::to_string(&order(line.trim(), links)).unwrap_or_default();
    text.push('\n');
    write.write_all(text.as_bytes()).await
}

fn order(line: &str, links: &Links) -> Answer {
    let words: Vec<&str> = line.split_whitespace().collect();
    match *words.as_slice() {
        ["list"] => {}
        ["set", link, mode] => {
            let Some(sender) = links.get(link) else {
                let known: Vec<&str> = links.keys().map(String::as_str).collect();
                return Answer::Error(format!(
                    "there is no link {link}; there are {}",
                    known.join(", ")
                ));
            };
            match LinkMode::from_str(mode, false) {
                Ok(mode) => {
                    sender.send_replace(mode);
                }
                Err(_unknown) => return Answer::Error(format!("there is no mode {mode}")),
            }
        }
        _ => return Answer::Error("say list, or set <link> <mode>".to_owned()),
    }
    let now = links.iter();
    Answer::Links(
        now.map(|(name, mode)| (name.clone(), *mode.borrow()))
            .collect(),
    )
}

/// Gives a relay an order.
///
/// # Errors
/// What prevents it, for people.
pub(crate) async fn ask(socket: &Path, order: &str) -> Result<BTreeMap<String, LinkMode>, String> {
    let exchange = async {
        let mut stream = UnixStream::connect(socket).await?;
        stream.write_all(format!("{order}\n").as_bytes()).await?;
        let mut line = String::new();
        BufReader::new(stream.take(MAX_LINE_BYTES))
            .read_line(&mut line)
            .await?;
        Ok::<_, io::Error>(line)
    };
    let line = match tokio::time::timeout(ANSWER_WITHIN, exchange).await {
        Ok(line) => line.map_err(|error| format!("{}: {error}", socket.display()))?,
        Err(_elapsed) => return Err(format!("{}: no answer", socket.display())),
    };
    match serde_json::from_str(&line) {
        Ok(Answer::Links(links)) => Ok(links),
        Ok(Answer::Error(error)) => Err(error),
        Err(_other) => Err(format!("{}: it answers {line:?}", socket.display())),
    }
}
