//! When the last acknowledged renewal of each term was sent: what lets an agent that restarts keep leading (F4).
//!
//! The moments are of this boot of the machine, so the file (`--state-dir`) names it; one of another boot, or of
//! another cluster, counts for nothing. It is written behind the renewals, by a task of its own, and is never
//! waited for: an older moment only makes a deadline earlier. It survives the process and need not survive the machine, so
//! it isn't synced to the disk.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use helium_failover::{Boot, GroupName, Token};
use helium_telemetry::Chain;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::clock;

/// Name of the file in the folder.
const FILE: &str = "failover.json";
/// Renewals come in bursts, one for each group.
const GATHER: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Renewed {
    token: Token,
    /// Nanoseconds on the boot clock.
    sent: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Content {
    boot: String,
    cluster: String,
    /// By namespace and callsign, with a slash between.
    groups: BTreeMap<String, Renewed>,
}

/// What this agent remembers of its terms. Clones share it.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    content: Mutex<Content>,
    file: Option<PathBuf>,
    changed: Notify,
}

impl Memory {
    /// Reads what an earlier process of this cluster's agent has left in the folder, if it is of this boot.
    pub(super) fn open(folder: Option<&Path>, cluster: &str) -> Self {
        let boot = clock::boot_id();
        let file = folder.map(|folder| folder.join(FILE));
        let left = file.as_deref().and_then(read).filter(|left| {
            // Unknown boots can't be compared.
            boot.as_ref() == Some(&left.boot) && left.cluster == cluster
        });
        let content = left.unwrap_or_else(|| Content {
            boot: boot.clone().unwrap_or_default(),
            cluster: cluster.to_owned(),
            groups: BTreeMap::new(),
        });
        Self {
            inner: Arc::new(Inner {
                content: Mutex::new(content),
                // Without a name of the boot the file would never count.
                file: file.filter(|_| boot.is_some()),
                changed: Notify::new(),
            }),
        }
    }

    /// When the last acknowledged renewal of a term was sent, if that is known and not in the future.
    pub(super) fn sent(&self, group: &GroupName, token: Token) -> Option<Boot> {
        let content = self.inner.content.lock();
        let renewed = content.groups.get(&group.to_string())?;
        let sent = Boot(Duration::from_nanos(renewed.sent));
        (renewed.token == token && sent <= clock::now()).then_some(sent)
    }

    /// A renewal was acknowledged.
    pub(super) fn renewed(&self, group: &GroupName, token: Token, sent: Boot) {
        let sent = u64::try_from(sent.0.as_nanos()).unwrap_or_default();
        let mut content = self.inner.content.lock();
        content
            .groups
            .insert(group.to_string(), Renewed { token, sent });
        drop(content);
        self.inner.changed.notify_one();
    }

    /// The term is over.
    pub(super) fn forget(&self, group: &GroupName) {
        let gone = self.inner.content.lock().groups.remove(&group.to_string());
        if gone.is_some() {
            self.inner.changed.notify_one();
        }
    }

    /// Keeps the file until stopped, and writes it a last time then.
    pub(super) async fn keep(&self, stop: &CancellationToken) {
        let Some(file) = &self.inner.file else {
            return;
        };
        let mut complained = false;
        loop {
            let last = tokio::select! {
                () = stop.cancelled() => true,
                () = self.inner.changed.notified() => false,
            };
            if !last {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = tokio::time::sleep(GATHER) => {}
                }
            }
            let text = serde_json::to_vec(&*self.inner.content.lock()).unwrap_or_default();
            match write(file, &text).await {
                Ok(()) => complained = false,
                Err(error) if std::mem::replace(&mut complained, true) => {
                    debug!(error = %Chain(&error), "the state file can't be written");
                }
                Err(error) => {
                    warn!(error = %Chain(&error), file = %file.display(),
                        "the state file can't be written; an agent that restarts will stop its payloads");
                }
            }
            if last {
                return;
            }
        }
    }
}

fn read(file: &Path) -> Option<Content> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        Err(error) => {
            warn!(error = %Chain(&error), file = %file.display(), "the state file can't be read");
            return None;
        }
    };
    serde_json::from_slice(&text)
        .inspect_err(|error| {
            warn!(error = %Chain(error), file = %file.display(), "the state file isn't ours, or broken");
        })
        .ok()
}

/// A file that is whole at every moment: the next process may read it whenever this one dies.
async fn write(file: &Path, text: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        tokio::fs::create_dir_all(folder).await?;
    }
    let fresh = file.with_extension("new");
    tokio::fs::write(&fresh, text).await?;
    tokio::fs::rename(&fresh, file).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> GroupName {
        GroupName {
            namespace: "default".to_owned(),
            callsign: "city".to_owned(),
        }
    }

    async fn kept(memory: &Memory) {
        let stop = CancellationToken::new();
        stop.cancel();
        memory.keep(&stop).await;
    }

    #[tokio::test]
    async fn the_next_process_knows_the_terms_of_this_one() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("made/for/it");
        let folder = folder.as_path();
        let memory = Memory::open(Some(folder), "east");
        assert_eq!(memory.sent(&group(), Token(7)), None);
        let sent = clock::now();
        memory.renewed(&group(), Token(7), sent);
        kept(&memory).await;
        let next = Memory::open(Some(folder), "east");
        assert_eq!(next.sent(&group(), Token(7)), Some(sent));
        assert_eq!(next.sent(&group(), Token(8)), None);
        // Of another cluster, it is nothing.
        let other = Memory::open(Some(folder), "west");
        assert_eq!(other.sent(&group(), Token(7)), None);
        next.forget(&group());
        kept(&next).await;
        let last = Memory::open(Some(folder), "east");
        assert_eq!(last.sent(&group(), Token(7)), None);
    }

    #[tokio::test]
    async fn a_file_of_another_boot_or_a_broken_one_counts_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let memory = Memory::open(Some(folder.path()), "east");
        memory.renewed(&group(), Token(7), clock::now());
        kept(&memory).await;
        let file = folder.path().join(FILE);
        let text = std::fs::read_to_string(&file).unwrap();
        let boot = clock::boot_id().unwrap();
        std::fs::write(&file, text.replace(&boot, "another")).unwrap();
        let next = Memory::open(Some(folder.path()), "east");
        assert_eq!(next.sent(&group(), Token(7)), None);
        std::fs::write(&file, "{").unwrap();
        let next = Memory::open(Some(folder.path()), "east");
        assert_eq!(next.sent(&group(), Token(7)), None);
        // A moment of the future isn't one of this boot.
        let future = clock::now() + Duration::from_secs(60);
        next.renewed(&group(), Token(7), future);
        assert_eq!(next.sent(&group(), Token(7)), None);
    }
}
