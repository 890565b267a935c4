//! `watch`.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{FutureExt, stream};
use helium_apimachinery::meta::Object;
use helium_apimachinery::resource_version::WatchFrom;
use helium_apimachinery::{GroupResource, Status};
use http::StatusCode;
use rand::Rng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::call::{Answer, Call};
use super::collection::{Filter, Freshness};
use super::live::View;
use super::negotiate::{Form, Output};
use super::render;
use super::{CACHE_WAIT, error};
use crate::backend::Body;
use crate::cache::{Entry, Event, Expired, Step, Watcher};
use crate::members::Detachment;

/// About how often a client that asks for bookmarks gets one.
const BOOKMARK_INTERVAL: Duration = Duration::from_secs(60);
/// Shortest life of a watch whose client doesn't say; the longest is twice that.
const MIN_LIFE: Duration = Duration::from_secs(30 * 60);
/// Objects of the initial state that are sent at once.
const INITIAL_BATCH: usize = 256;
/// Marks the bookmark behind the initial state.
const INITIAL_EVENTS_END: &str = "k8s.io/initial-events-end";

impl Call<'_> {
    pub(super) async fn watch(&self) -> Answer {
        let filter = self.filter()?;
        let options = filter.options();
        let from = options.watch_from()?;
        let life = options
            .timeout_seconds
            .filter(|seconds| *seconds > 0)
            .map_or_else(
                || MIN_LIFE.mul_f64(rand::rng().random_range(1.0..2.0)),
                Duration::from_secs,
            );
        let cache = &self.live.cache;
        let started = match from {
            WatchFrom::After(version) => {
                cache
                    .wait_filled(CACHE_WAIT)
                    .await
                    .map_err(error::unready)?;
                cache
                    .watch_after(error::revision(version))
                    .await
                    .map(|watcher| (Vec::new(), watcher))
            }
            WatchFrom::Any => {
                cache
                    .wait_filled(CACHE_WAIT)
                    .await
                    .map_err(error::unready)?;
                Ok(self.present_and_after(&filter))
            }
            WatchFrom::Latest | WatchFrom::Now => {
                match self.make_cache_fresh().await {
                    Ok(()) => {}
                    Err(Freshness::Lagging) => return Err(error::lagging()),
                    Err(Freshness::Failed(status)) => return Err(status),
                }
                let (initial, watcher) = self.present_and_after(&filter);
                Ok((
                    if from == WatchFrom::Now {
                        Vec::new()
                    } else {
                        initial
                    },
                    watcher,
                ))
            }
            WatchFrom::StateNotOlderThan(version) => {
                let wanted = error::revision(version);
                cache
                    .wait_revision(wanted, CACHE_WAIT)
                    .await
                    .map_err(error::unready)?;
                Ok(self.present_and_after(&filter))
            }
        };
        let bookmarks = options.allow_watch_bookmarks;
        let marks_initial = bookmarks && options.send_initial_events == Some(true);
        let mut writer = Writer {
            view: Arc::clone(&self.view),
            output: self.output,
            first: true,
        };
        let session = match started {
            Ok((initial, watcher)) => Session {
                initial: initial.into(),
                marks_initial,
                deadline: Instant::now() + life,
                next_bookmark: bookmarks.then(|| Instant::now() + BOOKMARK_INTERVAL),
                stopped: self.live.stopped().clone(),
                detachment: self.registry.members().detachment(),
                resource: self.group_resource(),
                ended: false,
                filter,
                watcher,
                writer,
            },
            // Behind authorization a watch's errors travel inside of it.
            Err(expired) => {
                let body = Body::from(writer.error(&expired_status(&expired)));
                return Ok(error::with_type(StatusCode::OK, "application/json", body));
            }
        };
        let events = stream::unfold(session, |mut session| async move {
            let chunk = session.next().await?;
            Some((Ok::<_, std::convert::Infallible>(chunk), session))
        });
        let body = Body::from_stream(events);
        Ok(error::with_type(StatusCode::OK, "application/json", body))
    }

    /// The present objects that the filter means, and what follows.
    fn present_and_after(&self, filter: &Filter) -> (Vec<Arc<Entry>>, Watcher) {
        let (snapshot, watcher) = self.live.cache.watch_from_now(&filter.scope);
        let mut entries = snapshot.entries;
        entries.retain(|entry| filter.matches(&entry.key, &entry.object));
        (entries, watcher)
    }
}

fn expired_status(expired: &Expired) -> Status {
    Status::expired(format!(
        "too old resource version: {} ({})",
        expired.asked, expired.oldest
    ))
}

/// A running watch.
struct Session {
    initial: VecDeque<Arc<Entry>>,
    /// Whether a bookmark tells the end of the initial state.
    marks_initial: bool,
    filter: Filter,
    watcher: Watcher,
    writer: Writer,
    deadline: Instant,
    next_bookmark: Option<Instant>,
    stopped: CancellationToken,
    /// Tells when the cluster is shut out of the fleet, and what it sees with it.
    detachment: Detachment,
    resource: GroupResource,
    ended: bool,
}

impl Session {
    /// The next chunk; `None` when the watch is over.
    async fn next(&mut self) -> Option<Bytes> {
        if !self.initial.is_empty() {
            match self.detachment.happened().now_or_never() {
                None => return Some(self.initial_chunk()),
                Some(why) => {
                    self.initial.clear();
                    self.marks_initial = false;
                    return Some(self.detached(&why));
                }
            }
        }
        if std::mem::take(&mut self.marks_initial) {
            return Some(self.writer.bookmark(self.watcher.revision(), true));
        }
        while !self.ended {
            let timer = self
                .next_bookmark
                .unwrap_or(self.deadline)
                .min(self.deadline);
            tokio::select! {
                // In this order, so that a busy watch ends in time too.
                biased;
                () = self.stopped.cancelled() => self.ended = true,
                why = self.detachment.happened() => return Some(self.detached(&why)),
                () = tokio::time::sleep_until(timer) => {
                    self.ended = Instant::now() >= self.deadline;
                    // One more just before the end, so that the client resumes from here.
                    if let Some(next) = &mut self.next_bookmark {
                        *next = Instant::now() + BOOKMARK_INTERVAL;
                        return Some(self.writer.bookmark(self.watcher.revision(), false));
                    }
                }
                step = self.watcher.next() => {
                    if let Some(chunk) = self.take(step) {
                        return Some(chunk);
                    }
                }
            }
        }
        None
    }

    /// The last chunk for a cluster that is shut out.
    fn detached(&mut self, why: &str) -> Bytes {
        self.ended = true;
        let status = Status::forbidden(&self.resource, "", why);
        self.writer.error(&status)
    }

    fn initial_chunk(&mut self) -> Bytes {
        let mut chunk = BytesMut::new();
        for entry in self.initial.drain(..INITIAL_BATCH.min(self.initial.len())) {
            self.writer.entry(&mut chunk, "ADDED", &entry);
        }
        chunk.freeze()
    }

    fn take(&mut self, step: Result<Step, Expired>) -> Option<Bytes> {
        match step {
            Ok(Step::Events(events)) => {
                let mut chunk = BytesMut::new();
                for event in &events {
                    self.event(&mut chunk, event);
                }
                (!chunk.is_empty()).then(|| chunk.freeze())
            }
            Ok(Step::Progress(_)) => None,
            Err(expired) => {
                self.ended = true;
                Some(self.writer.error(&expired_status(&expired)))
            }
        }
    }

    /// What an event means to somebody who sees only the selected objects.
    fn event(&mut self, chunk: &mut BytesMut, event: &Event) {
        let selected = |entry: &Entry| self.filter.matches(&entry.key, &entry.object);
        match event {
            Event::Put { before, now } => {
                let was = before.as_ref().filter(|entry| selected(entry));
                match (was, selected(now)) {
                    (None, true) => self.writer.entry(chunk, "ADDED", now),
                    (Some(_), true) => self.writer.entry(chunk, "MODIFIED", now),
                    (Some(before), false) => {
                        let mut object = before.object.clone();
                        object.set_resource_version(&now.revision.to_string());
                        self.writer.object(chunk, "DELETED", &object);
                    }
                    (None, false) => {}
                }
            }
            Event::Deleted { last } if selected(last) => self.writer.entry(chunk, "DELETED", last),
            Event::Deleted { .. } => {}
        }
    }
}

/// Writes events in the form asked for, a line each.
struct Writer {
    view: Arc<View>,
    output: Output,
    /// Whether the next table is the first, which carries the columns.
    first: bool,
}

impl Writer {
    fn entry(&mut self, chunk: &mut BytesMut, kind: &str, entry: &Entry) {
        if self.output.form == Form::Object {
            frame(chunk, kind, &self.view.json(entry));
        } else {
            self.object(chunk, kind, &entry.object);
        }
    }

    fn object(&mut self, chunk: &mut BytesMut, kind: &str, stored: &Object) {
        let view = Arc::clone(&self.view);
        self.viewed(chunk, kind, &view.object(stored));
    }

    fn viewed(&mut self, chunk: &mut BytesMut, kind: &str, object: &Object) {
        let shaped = render::shaped(self.output.form, &self.view, object, self.first);
        self.first = false;
        let encoded = match &shaped {
            Some(value) => serde_json::to_vec(value),
            None => serde_json::to_vec(object),
        };
        // Maps with string keys always serialise.
        frame(chunk, kind, &encoded.unwrap_or_default());
    }

    /// A bookmark: an object of the kind with nothing but its resourceVersion.
    fn bookmark(&mut self, revision: i64, ends_initial: bool) -> Bytes {
        let mut object = Object::new(&self.view.served.gvk);
        object.set_resource_version(&revision.to_string());
        if ends_initial {
            object.set_meta(
                "annotations",
                serde_json::json!({INITIAL_EVENTS_END: "true"}),
            );
        }
        let mut chunk = BytesMut::new();
        self.viewed(&mut chunk, "BOOKMARK", &object);
        chunk.freeze()
    }

    fn error(&mut self, status: &Status) -> Bytes {
        let mut chunk = BytesMut::new();
        frame(
            &mut chunk,
            "ERROR",
            &serde_json::to_vec(&status.to_value()).unwrap_or_default(),
        );
        chunk.freeze()
    }
}

fn frame(chunk: &mut BytesMut, kind: &str, object: &[u8]) {
    chunk.reserve(object.len() + kind.len() + 24);
    chunk.put_slice(b"{\"type\":\"");
    chunk.put_slice(kind.as_bytes());
    chunk.put_slice(b"\",\"object\":");
    chunk.put_slice(object);
    chunk.put_slice(b"}\n");
}
