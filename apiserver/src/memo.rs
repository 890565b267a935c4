//! A bounded memory of answers from the host cluster, with one question in flight per key.
//!
//! Reviews are asked for the same few users over and over, often by several requests at once. An
//! answer is remembered for as long as the asker says; an error is never remembered. When full, the entry
//! that was used longest ago goes.

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use parking_lot::Mutex;
use tokio::time::Instant;

type Flight<V, E> = Shared<BoxFuture<'static, Result<V, E>>>;

/// Remembers values of type `V` by key for a time.
pub(crate) struct Memo<K, V, E> {
    capacity: usize,
    state: Mutex<State<K, V, E>>,
}

struct State<K, V, E> {
    entries: HashMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
    tick: u64,
    flights: HashMap<K, WeakShared<BoxFuture<'static, Result<V, E>>>>,
}

struct Entry<V> {
    value: V,
    expires: Instant,
    used: u64,
}

impl<K, V, E> Memo<K, V, E>
where
    K: Clone + Eq + Hash,
    V: Clone,
    E: Clone,
{
    /// A memory for at most `capacity` answers.
    pub(crate) fn new(capacity: usize) -> Self {
        let state = State {
            entries: HashMap::new(),
            by_use: BTreeMap::new(),
            tick: 0,
            flights: HashMap::new(),
        };
        Self {
            capacity: capacity.max(1),
            state: Mutex::new(state),
        }
    }

    /// The remembered answer, or the outcome of `ask`, which is remembered for `ttl(answer)`.
    ///
    /// Concurrent callers with one key share one question. A caller that goes away doesn't end it
    /// for the others.
    pub(crate) async fn get_or_ask<F>(
        &self,
        key: K,
        ttl: impl Fn(&V) -> Duration,
        ask: impl FnOnce() -> F,
    ) -> Result<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        let flight = {
            let mut state = self.state.lock();
            if let Some(value) = state.lookup(&key) {
                return Ok(value);
            }
            state.join_or_start(&key, ask)
        };
        let outcome = flight.clone().await;
        let mut state = self.state.lock();
        state.finish(&key, &flight);
        if let Ok(value) = &outcome {
            state.insert(key, value.clone(), ttl(value), self.capacity);
        }
        outcome
    }
}

impl<K, V, E> State<K, V, E>
where
    K: Clone + Eq + Hash,
    V: Clone,
    E: Clone,
{
    fn lookup(&mut self, key: &K) -> Option<V> {
        let entry = self.entries.get_mut(key)?;
        if entry.expires <= Instant::now() {
            let used = entry.used;
            self.entries.remove(key);
            self.by_use.remove(&used);
            return None;
        }
        self.tick += 1;
        self.by_use.remove(&entry.used);
        entry.used = self.tick;
        self.by_use.insert(self.tick, key.clone());
        Some(entry.value.clone())
    }

    fn join_or_start<F>(&mut self, key: &K, ask: impl FnOnce() -> F) -> Flight<V, E>
    where
        F: Future<Output = Result<V, E>> + Send + 'static,
    {
        if let Some(flight) = self.flights.get(key).and_then(WeakShared::upgrade) {
            return flight;
        }
        // Flights whose callers all went away are swept here, so that their keys don't pile up.
        self.flights.retain(|_, flight| flight.upgrade().is_some());
        let flight = ask().boxed().shared();
        if let Some(weak) = flight.downgrade() {
            self.flights.insert(key.clone(), weak);
        }
        flight
    }

    fn finish(&mut self, key: &K, flight: &Flight<V, E>) {
        let current = self.flights.get(key).and_then(WeakShared::upgrade);
        if current.is_none_or(|current| current.ptr_eq(flight)) {
            self.flights.remove(key);
        }
    }

    fn insert(&mut self, key: K, value: V, ttl: Duration, capacity: usize) {
        if ttl.is_zero() {
            return;
        }
        if let Some(old) = self.entries.remove(&key) {
            self.by_use.remove(&old.used);
        }
        while self.entries.len() >= capacity {
            match self.by_use.pop_first() {
                Some((_, oldest)) => self.entries.remove(&oldest),
                None => break,
            };
        }
        self.tick += 1;
        self.by_use.insert(self.tick, key.clone());
        let entry = Entry {
            value,
            expires: Instant::now() + ttl,
            used: self.tick,
        };
        self.entries.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    type Counts = Memo<&'static str, usize, String>;

    async fn ask(memo: &Counts, key: &'static str, asked: &Arc<AtomicUsize>) -> usize {
        let asked = Arc::clone(asked);
        memo.get_or_ask(
            key,
            |_| Duration::from_secs(10),
            || async move {
                tokio::task::yield_now().await;
                Ok(asked.fetch_add(1, Ordering::SeqCst))
            },
        )
        .await
        .expect("never fails")
    }

    #[tokio::test]
    async fn an_answer_is_remembered_until_it_expires() {
        let memo = Counts::new(8);
        let short = |_: &usize| Duration::from_millis(20);
        let begun = Instant::now();
        assert_eq!(memo.get_or_ask("a", short, || async { Ok(0) }).await, Ok(0));
        let again = memo.get_or_ask("a", short, || async { Ok(1) }).await;
        assert!(again == Ok(0) || begun.elapsed() >= short(&0));
        tokio::time::sleep(short(&0)).await;
        assert_eq!(memo.get_or_ask("a", short, || async { Ok(2) }).await, Ok(2));
    }

    #[tokio::test]
    async fn concurrent_askers_share_one_question() {
        let (memo, asked) = (Counts::new(8), Arc::default());
        let answers =
            futures_util::future::join_all((0..20).map(|_| ask(&memo, "a", &asked))).await;
        assert!(answers.iter().all(|answer| *answer == 0));
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn an_asker_that_goes_away_leaves_the_question_to_the_others() {
        let (memo, asked) = (Arc::new(Counts::new(8)), Arc::default());
        let mut first = Box::pin(ask(&memo, "a", &asked));
        assert!(futures_util::poll!(&mut first).is_pending());
        let second = ask(&memo, "a", &asked);
        drop(first);
        second.await;
        assert_eq!(ask(&memo, "a", &asked).await, 0);
    }

    #[tokio::test]
    async fn errors_are_not_remembered() {
        let memo = Counts::new(8);
        let day = |_: &usize| Duration::from_secs(86_400);
        let failed = memo
            .get_or_ask("a", day, || async { Err("down".to_owned()) })
            .await;
        assert_eq!(failed, Err("down".to_owned()));
        assert_eq!(memo.get_or_ask("a", day, || async { Ok(7) }).await, Ok(7));
    }

    #[tokio::test]
    async fn the_entry_used_longest_ago_goes_first() {
        let (memo, asked) = (Counts::new(2), Arc::default());
        ask(&memo, "a", &asked).await;
        ask(&memo, "b", &asked).await;
        ask(&memo, "a", &asked).await;
        ask(&memo, "c", &asked).await;
        assert_eq!(ask(&memo, "a", &asked).await, 0);
        assert_eq!(ask(&memo, "b", &asked).await, 3);
    }
}
