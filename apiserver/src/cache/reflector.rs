//! Keeps a cache's state equal to the store's: list, follow, resume, and list again if need be.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;

use super::Shared;
use super::state::{Entry, Incoming};
use crate::storage::{Change, Error, Record, Result, Update};

/// Records that are read at once while a cache is filled.
const PAGE: i64 = 1_000;
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// Why following ended.
enum End {
    /// The place to resume at is gone: list again.
    Lost,
    /// The connection broke: resume.
    Broken(Error),
}

/// Works until the cache is stopped.
pub(super) async fn run(shared: Arc<Shared>) {
    let stop = shared.stop.clone();
    tokio::select! {
        () = stop.cancelled() => {}
        () = reflect(&shared) => {}
    }
}

async fn reflect(shared: &Shared) {
    let mut backoff = Backoff::default();
    loop {
        match fill(shared).await {
            Ok(()) => backoff.reset(),
            Err(error) => {
                tracing::debug!(prefix = shared.prefix.as_str(), %error, "filling a cache failed");
                backoff.pause().await;
                continue;
            }
        }
        loop {
            match follow(shared, &mut backoff).await {
                End::Lost => break,
                End::Broken(error) => {
                    tracing::debug!(prefix = shared.prefix.as_str(), %error, "a watch broke");
                    backoff.pause().await;
                }
            }
        }
    }
}

/// Reads everything as of one revision.
async fn fill(shared: &Shared) -> Result<()> {
    let scope = shared.prefix.as_str();
    let mut entries = Vec::new();
    let mut start: Option<Vec<u8>> = None;
    let mut revision = 0;
    loop {
        let page = shared
            .store
            .page(scope, start.as_deref(), PAGE, revision)
            .await?;
        revision = page.revision;
        start = page
            .records
            .last()
            .map(|record| [&record.key[..], b"\0"].concat());
        entries.extend(
            page.records
                .iter()
                .filter_map(|record| shared.entry(record)),
        );
        if page.remaining == 0 {
            break;
        }
    }
    tracing::debug!(
        prefix = scope,
        revision,
        objects = entries.len(),
        "filled a cache"
    );
    shared.state.write().fill(entries, revision);
    shared.changed.send_replace(());
    Ok(())
}

async fn follow(shared: &Shared, backoff: &mut Backoff) -> End {
    let from = shared.state.read().revision() + 1;
    let mut stream = match shared.store.watch(&shared.prefix, from).await {
        Ok(stream) => stream,
        Err(error) => return End::from(error),
    };
    loop {
        let update = tokio::select! {
            update = stream.next() => update,
            () = shared.progress_wanted.notified() => {
                stream.request_progress();
                continue;
            }
        };
        match update {
            Ok(Update::Started { revision }) => {
                backoff.reset();
                if revision < from - 1 {
                    match went_back(shared, from - 1).await {
                        Ok(true) => return End::Lost,
                        Ok(false) => {}
                        // Unconfirmed, it must not be followed: what an older store tells would be taken for known.
                        Err(error) => return End::from(error),
                    }
                }
            }
            Ok(update) => take_in(shared, update),
            Err(error) => return End::from(error),
        }
    }
}

fn take_in(shared: &Shared, update: Update) {
    match update {
        Update::Changes(changes) => {
            let incoming = changes
                .into_iter()
                .filter_map(|c| shared.incoming(c))
                .collect();
            shared.state.write().apply(incoming);
        }
        Update::Progress { revision } => shared.state.write().progress(revision),
        Update::Started { .. } => return,
    }
    shared.changed.send_replace(());
}

/// Whether the store is older than what it told before. A member may lag; a linearizable read doesn't.
async fn went_back(shared: &Shared, known: i64) -> Result<bool> {
    let current = shared.store.current_revision(&shared.prefix).await?;
    if current < known {
        tracing::warn!(
            known,
            current,
            "the store went back in time; reading everything again"
        );
    }
    Ok(current < known)
}

impl From<Error> for End {
    fn from(error: Error) -> Self {
        match error {
            Error::Compacted { .. } | Error::FutureRevision => Self::Lost,
            error => Self::Broken(error),
        }
    }
}

impl Shared {
    /// The relative form of a full key of ours.
    pub(super) fn relative(&self, key: &[u8]) -> Option<String> {
        let key = std::str::from_utf8(key).ok()?;
        key.strip_prefix(self.prefix.as_str()).map(str::to_owned)
    }

    /// Decodes a record. One that can't be is left out, and said so: an unreadable object must not
    /// take the whole resource with it.
    pub(super) fn entry(&self, record: &Record) -> Option<Entry> {
        let key = self.relative(&record.key)?;
        match self.decoder.decode(record) {
            Ok(object) => Some(Entry::new(key, record.revision, object, record.value.len())),
            Err(error) => {
                tracing::warn!(%error, "leaving out an unreadable object");
                None
            }
        }
    }

    fn incoming(&self, change: Change) -> Option<Incoming> {
        match change {
            Change::Put { record, .. } => match self.entry(&record) {
                Some(entry) => Some(Incoming::Put(entry)),
                None => {
                    let key = self.relative(&record.key)?;
                    Some(Incoming::Delete {
                        key,
                        revision: record.revision,
                    })
                }
            },
            Change::Delete { key, revision, .. } => Some(Incoming::Delete {
                key: self.relative(&key)?,
                revision,
            }),
        }
    }
}

/// Growing pauses between attempts, with jitter.
#[derive(Debug, Default)]
struct Backoff {
    failures: u32,
}

impl Backoff {
    fn reset(&mut self) {
        self.failures = 0;
    }

    async fn pause(&mut self) {
        let ceiling = BACKOFF_MIN
            .saturating_mul(1 << self.failures.min(8))
            .min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        let jitter = rand::rng().random_range(0.5..1.0);
        tokio::time::sleep(ceiling.mul_f64(jitter)).await;
    }
}
