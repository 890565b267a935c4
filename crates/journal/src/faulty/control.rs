//! Ordering faults.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use tokio::sync::oneshot;

use crate::{Appended, Entry, Error, ErrorKind, Journal, Result};

/// The methods of a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is named after its method")]
pub enum Call {
    EntryAppend,
    HeadRead,
    EntryRead,
    EntryList,
    EntryCount,
    EntryTrim,
    CheckpointRead,
    CheckpointClaim,
    CheckpointChunk,
    CheckpointAdvance,
    KvList,
    IdentityRead,
    LogMeta,
    SizeRead,
    MemberUpsert,
    MemberList,
    MemberDelete,
}

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It does not happen, and the error proves it.
    Refused,
    /// It does not happen, and the error leaves that open.
    Lost,
    /// It happens, and the error leaves that open.
    Unanswered,
    /// It happens after a pause.
    Slow(Duration),
}

/// How often which fault happens by chance, each between 0 and 1; their sum is at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Rates {
    /// [`Fault::Refused`].
    pub refused: f64,
    /// [`Fault::Lost`].
    pub lost: f64,
    /// [`Fault::Unanswered`].
    pub unanswered: f64,
    /// [`Fault::Slow`].
    pub slow: f64,
    /// The longest pause of a slow call.
    pub slow_up_to: Duration,
}

/// Where a call is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Point {
    /// Before it reaches the journal below.
    Before,
    /// When it has happened there, before its answer comes back.
    After,
}

/// The test's handle on a faulty journal; clones order the same faults.
#[derive(Debug, Clone)]
pub struct Control {
    seed: u64,
    plan: Arc<Mutex<Plan>>,
}

#[derive(Debug)]
struct Plan {
    coin: StdRng,
    rates: Rates,
    rates_by_call: HashMap<Call, Rates>,
    ordered: HashMap<Call, VecDeque<Fault>>,
    holds: HashMap<(Call, Point), VecDeque<Gate>>,
    late: VecDeque<LateSender>,
    calls: HashMap<Call, u64>,
}

pub(super) type LateSender = oneshot::Sender<(Arc<dyn Journal>, Entry)>;

/// What was ordered for one call.
pub(super) struct Order {
    pub(super) fault: Option<Fault>,
    pub(super) before: Option<Gate>,
    pub(super) after: Option<Gate>,
}

/// The call's side of a hold.
#[derive(Debug)]
pub(super) struct Gate {
    arrived: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

impl Gate {
    /// Tells the test, and waits for it. A hold that was dropped lets the call go.
    pub(super) async fn pass(self) {
        self.arrived.send(()).ok();
        self.released.await.ok();
    }
}

/// A call that is to be held, or is. Dropping it lets the call go.
#[derive(Debug)]
pub struct Hold {
    arrived: Option<oneshot::Receiver<()>>,
    release: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until a call stands at the point. Bound it: a call may never come.
    pub async fn arrived(&mut self) {
        if let Some(arrived) = self.arrived.take() {
            arrived.await.ok();
        }
    }

    /// Lets the call go on.
    pub fn release(self) {
        self.release.send(()).ok();
    }
}

/// An append that was answered with an undecided error and has not happened yet.
#[derive(Debug)]
pub struct Late(oneshot::Receiver<(Arc<dyn Journal>, Entry)>);

impl Late {
    /// Waits for the append to be made, and lets it reach the journal below. Dropping the handle
    /// instead means that it never does.
    ///
    /// # Errors
    /// Those of the journal below.
    pub async fn land(self) -> Result<(Entry, Appended)> {
        let Ok((journal, entry)) = self.0.await else {
            return Err(Error::new("landing a late append", ErrorKind::Closed).determinate());
        };
        let appended = journal.entry_append(&entry).await?;
        Ok((entry, appended))
    }
}

impl Control {
    pub(super) fn new(seed: u64) -> Self {
        let plan = Plan {
            coin: StdRng::seed_from_u64(seed),
            rates: Rates::default(),
            rates_by_call: HashMap::new(),
            ordered: HashMap::new(),
            holds: HashMap::new(),
            late: VecDeque::new(),
            calls: HashMap::new(),
        };
        Self {
            seed,
            plan: Arc::new(Mutex::new(plan)),
        }
    }

    /// The coin's seed.
    #[must_use]
    pub const fn seed(&self) -> u64 {
        self.seed
    }

    /// Sets the rates of every call that has none of its own.
    pub fn rates(&self, rates: Rates) {
        self.plan.lock().rates = rates;
    }

    /// Sets the rates of one kind of call.
    pub fn rates_of(&self, call: Call, rates: Rates) {
        self.plan.lock().rates_by_call.insert(call, rates);
    }

    /// Orders a fault for the next call of a kind; several are taken in turn.
    pub fn next(&self, call: Call, fault: Fault) {
        self.plan
            .lock()
            .ordered
            .entry(call)
            .or_default()
            .push_back(fault);
    }

    /// Holds the next call of a kind that isn't held there yet.
    #[must_use = "dropping the hold lets the call go"]
    pub fn hold(&self, call: Call, point: Point) -> Hold {
        let (arrived_sender, arrived) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let gate = Gate {
            arrived: arrived_sender,
            released,
        };
        self.plan
            .lock()
            .holds
            .entry((call, point))
            .or_default()
            .push_back(gate);
        Hold {
            arrived: Some(arrived),
            release,
        }
    }

    /// Makes the next append late.
    #[must_use = "dropping the handle loses the append"]
    pub fn late(&self) -> Late {
        let (sender, receiver) = oneshot::channel();
        self.plan.lock().late.push_back(sender);
        Late(receiver)
    }

    /// How many calls of a kind were made so far, whatever became of them.
    #[must_use]
    pub fn calls(&self, call: Call) -> u64 {
        self.plan
            .lock()
            .calls
            .get(&call)
            .copied()
            .unwrap_or_default()
    }

    pub(super) fn late_take(&self) -> Option<LateSender> {
        self.plan.lock().late.pop_front()
    }

    pub(super) fn order(&self, call: Call) -> Order {
        let mut plan = self.plan.lock();
        *plan.calls.entry(call).or_default() += 1;
        let ordered = plan.ordered.get_mut(&call).and_then(VecDeque::pop_front);
        let fault = ordered.or_else(|| plan.chance(call));
        Order {
            fault,
            before: plan.gate(call, Point::Before),
            after: plan.gate(call, Point::After),
        }
    }
}

impl Plan {
    fn gate(&mut self, call: Call, point: Point) -> Option<Gate> {
        self.holds
            .get_mut(&(call, point))
            .and_then(VecDeque::pop_front)
    }

    fn chance(&mut self, call: Call) -> Option<Fault> {
        let rates = self.rates_by_call.get(&call).copied().unwrap_or(self.rates);
        let mut toss: f64 = self.coin.random_range(0.0..1.0);
        let pause = rates.slow_up_to.mul_f64(self.coin.random_range(0.0..1.0));
        let faults = [
            (rates.refused, Fault::Refused),
            (rates.lost, Fault::Lost),
            (rates.unanswered, Fault::Unanswered),
            (rates.slow, Fault::Slow(pause)),
        ];
        for (rate, fault) in faults {
            if toss < rate {
                return Some(fault);
            }
            toss -= rate;
        }
        None
    }
}

/// The seed of a test run: `HELIUM_SEED` if it is set, else random. The test prints it.
#[must_use]
pub fn seed() -> u64 {
    let given = std::env::var("HELIUM_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| rand::rng().next_u64())
}
