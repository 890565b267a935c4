//! The definitions as they were last read, on disk: for a start while the store is down.
//!
//! A cluster whose aggregator gets no discovery from a registered group can't finish deleting *any* of its namespaces, so a
//! server must be able to say what is served before it has reached the store. What is remembered answers documents
//! (discovery, OpenAPI) and readiness, and tells the namespace guard which policy a kind had. It is never a reason to call
//! anything unknown, and nothing is read or written by it: a request for a resource waits for the definitions themselves.
//!
//! The file belongs to one cluster and one store's prefix; one that was written for another is not used.

use std::sync::Arc;

use helium_apimachinery::meta::Object;
use helium_telemetry::Chain;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cache::Entry;
use crate::config::Config;
use crate::state_file::{Error, StateFile};

/// The file's name and version.
const KIND: &str = "definitions v1";

/// Keeps the definitions in a file, and reads them from it.
#[derive(Debug)]
pub struct LastKnown {
    file: StateFile,
    owner: Owner,
    /// What the file has, as keys and revisions.
    kept: Option<Vec<(String, i64)>>,
    /// Whether the last attempt to write failed: said once.
    failing: bool,
}

/// Whose definitions they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    cluster: String,
    prefix: String,
}

#[derive(Serialize)]
struct Written<'a> {
    owner: &'a Owner,
    definitions: Vec<&'a Value>,
}

#[derive(Deserialize)]
struct Read {
    owner: Owner,
    definitions: Vec<Value>,
}

impl LastKnown {
    /// The file of a server, if it was given a state directory.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        let directory = config.state_dir.as_deref()?;
        Some(Self {
            file: StateFile::new(directory, KIND),
            owner: Owner {
                cluster: config.cluster_name.clone(),
                prefix: config.store.prefix.clone(),
            },
            kept: None,
            failing: false,
        })
    }

    /// What was known last; `None` if nothing is, or nothing that can be believed, which is a warning. Blocks.
    #[must_use]
    pub fn read(&self) -> Option<Vec<Object>> {
        match self.try_read() {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "the last known definitions can't be used");
                None
            }
        }
    }

    fn try_read(&self) -> Result<Option<Vec<Object>>, Error> {
        let Some(body) = self.file.read()? else {
            return Ok(None);
        };
        let read: Read = serde_json::from_slice(&body).map_err(|_| {
            self.file
                .broken("its content isn't what this version writes")
        })?;
        if read.owner != self.owner {
            return Err(self.file.broken("it is of another cluster or store"));
        }
        let objects = read.definitions.into_iter().map(Object::try_from);
        objects
            .collect::<Result<_, _>>()
            .map(Some)
            .map_err(|_| self.file.broken("a definition in it is no object"))
    }

    /// Keeps what was read from the store, if it is news.
    pub async fn keep(&mut self, entries: &[Arc<Entry>]) {
        let now: Vec<_> = entries
            .iter()
            .map(|entry| (entry.key.clone(), entry.revision))
            .collect();
        if self.kept.as_ref() == Some(&now) {
            return;
        }
        let definitions = entries
            .iter()
            .map(|entry| entry.object.as_value())
            .collect();
        let written = Written {
            owner: &self.owner,
            definitions,
        };
        // Text keys and values only: this can't fail.
        let body = serde_json::to_vec(&written).unwrap_or_default();
        let file = self.file.clone();
        let outcome = tokio::task::spawn_blocking(move || file.write(&body)).await;
        match outcome {
            Ok(Ok(())) => {
                self.kept = Some(now);
                self.failing = false;
            }
            Ok(Err(error)) if !self.failing => {
                self.failing = true;
                tracing::warn!(
                    error = %Chain(&error),
                    "the definitions can't be kept; a start without the store won't know them"
                );
            }
            // Said before, or the process ends.
            Ok(Err(_)) | Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn last_known(directory: &std::path::Path, cluster: &str) -> LastKnown {
        LastKnown {
            file: StateFile::new(directory, KIND),
            owner: Owner {
                cluster: cluster.to_owned(),
                prefix: "/registry".to_owned(),
            },
            kept: None,
            failing: false,
        }
    }

    fn entry(name: &str, revision: i64) -> Arc<Entry> {
        let object = json!({"metadata": {"name": name}, "spec": {"group": "example.com"}});
        let object = Object::try_from(object).unwrap();
        Arc::new(Entry::new(name.to_owned(), revision, object, 0))
    }

    #[tokio::test]
    async fn what_is_kept_is_known_to_the_next_start_of_the_same_cluster_only() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = last_known(dir.path(), "c1");
        assert!(known.read().is_none());
        known.keep(&[entry("a", 3), entry("b", 4)]).await;
        let names: Vec<_> = known.read().unwrap();
        assert_eq!(
            names.iter().map(Object::name).collect::<Vec<_>>(),
            ["a", "b"]
        );
        assert!(last_known(dir.path(), "c2").read().is_none());
        known.keep(&[]).await;
        assert_eq!(known.read().unwrap(), Vec::<Object>::new());
    }

    #[tokio::test]
    async fn a_file_that_is_no_file_of_ours_is_no_reason_to_fail() {
        let dir = tempfile::tempdir().unwrap();
        let mut known = last_known(dir.path(), "c1");
        known.file.write(b"{\"owner\": 3}").unwrap();
        assert!(known.read().is_none());
        // A folder in its place: neither readable nor replaceable.
        std::fs::remove_file(known.file.path()).unwrap();
        std::fs::create_dir(known.file.path()).unwrap();
        assert!(known.read().is_none());
        known.keep(&[entry("a", 3)]).await;
        assert!(known.failing);
    }
}
