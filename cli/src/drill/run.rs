//! `helium drill run`: rounds of breaking and healing, under observation.

use std::process::ExitCode;
use std::time::Duration;

use helium_failover::GroupName;
use helium_failover::kind::{GroupSpec, Mode};
use helium_telemetry::Chain;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::clock::Clock;
use super::eyes::{self, Notebook};
use super::fleet::Fleet;
use super::history::{Fault, History, Moment, Settled, Unanswered, VERSION, View};
use super::plan::{self, Round};
use super::site::{self, Kind, Site};
use super::{agreement, fault, finish, heal, own, writer};
use crate::error::{DrillError, Error, Result};
use crate::options::{DrillRunOptions, Scenario};

/// How long a group that was just made, or that is to be drilled, may take until it is well.
const WELL_WITHIN: Duration = Duration::from_secs(60);
/// The same after everything was healed: servers start, leases run out, payloads are stopped.
const WELL_AGAIN_WITHIN: Duration = Duration::from_secs(90);
/// How long all clusters must agree on one term, in seconds, before something else is broken.
const WELL_FOR: f64 = 3.0;
/// Pause between two looks at whether all is well.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Runs a drill. The exit code is 1 if a promise was broken, or the drill was ended early.
pub(crate) async fn run(options: DrillRunOptions) -> Result<ExitCode> {
    let DrillRunOptions {
        fleet,
        group,
        scenario,
        rounds,
        seed,
        mode,
        lease_seconds,
        takeover_margin,
        output,
        svg,
        history,
    } = options;
    let fleet = Fleet::open(&fleet.fleet)?.take()?;
    if scenario.iter().copied().any(fault::needs_links) {
        for cluster in fleet.clusters() {
            if fleet.relay(&cluster).is_none() {
                let socket = fleet.relay_socket(&cluster);
                return Err(DrillError::NoLinks { cluster, socket }.into());
            }
        }
    }
    let what = heal::broken(&fleet).await;
    if !what.is_empty() {
        return Err(DrillError::NotWhole { what }.into());
    }
    let seed = seed.unwrap_or_else(rand::random);
    let cancel = CancellationToken::new();
    let asked = cancel.clone();
    let listener = tokio::spawn(async move {
        super::interrupted().await;
        eprintln!("ending: what is broken is healed first");
        asked.cancel();
    });
    let sites = sites(&fleet).await?;
    let is_own = group.is_none();
    let name = group.map_or_else(own::group, |(namespace, callsign)| GroupName {
        namespace,
        callsign,
    });
    let drilled = async {
        own::check(&sites).await?;
        if is_own {
            own::make(&sites, mode, lease_seconds).await?;
        }
        let drill = Drill::open(&fleet, &sites, name, seed, &cancel).await?;
        drill.notebook.open().takeover_margin_seconds = f64::from(takeover_margin);
        drill.run(&scenario, rounds).await
    }
    .await;
    // Whatever happened, nothing stays broken; and a second Ctrl-C changes nothing about that.
    let healed = heal::heal(&fleet).await;
    let removed = if is_own {
        own::remove(&sites).await
    } else {
        Ok(())
    };
    listener.abort();
    let seen = drilled?;
    healed?;
    let code = finish(&seen, output, svg.as_deref(), history.as_deref())?;
    removed?;
    Ok(code)
}

async fn sites(fleet: &Fleet) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for cluster in fleet.clusters() {
        sites.push(Site::open(fleet, &cluster).await?);
    }
    Ok(sites)
}

/// Removes what a drill that was killed has left in the clusters, and says so.
pub(crate) async fn clean(fleet: &Fleet) -> Result<Vec<String>> {
    let sites = sites(fleet).await?;
    let mut left = false;
    for site in &sites {
        // A kube-apiserver that was just started isn't there yet.
        let until = tokio::time::Instant::now() + WELL_WITHIN;
        while site
            .read("/readyz")
            .await
            .is_err_and(|refusal| refusal.code().is_none())
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        left |= own::is_there(site).await;
    }
    if !left {
        return Ok(Vec::new());
    }
    own::remove(&sites).await?;
    Ok(vec!["the drill's group was removed".to_owned()])
}

struct Drill<'a> {
    fleet: &'a Fleet,
    sites: &'a [Site],
    group: GroupName,
    spec: GroupSpec,
    kinds: Vec<Vec<(Kind, String)>>,
    notebook: Notebook,
    cancel: &'a CancellationToken,
}

impl<'a> Drill<'a> {
    /// Reads what is to be observed.
    async fn open(
        fleet: &'a Fleet,
        sites: &'a [Site],
        group: GroupName,
        seed: u64,
        cancel: &'a CancellationToken,
    ) -> Result<Self> {
        let nobody = || Error::NoGroup {
            group: group.to_string(),
        };
        let first = sites.first().ok_or_else(nobody)?;
        let mut payloads = Vec::new();
        for site in sites {
            let members = site.members(&group).await;
            let members = members.map_err(|refusal| site.refused("asking for members", refusal))?;
            payloads.extend(members.iter().flat_map(|member| {
                site::kinds(member["spec"]["payload"].as_str().unwrap_or_default())
            }));
        }
        if payloads.is_empty() {
            return Err(nobody());
        }
        payloads.sort();
        payloads.dedup();
        let mut kinds = Vec::new();
        for site in sites {
            let mut known = Vec::new();
            for kind in &payloads {
                let path = site.list_path(kind).await;
                let path = path.map_err(|refusal| site.refused("asking for kinds", refusal))?;
                known.extend(path.map(|path| (kind.clone(), path)));
            }
            kinds.push(known);
        }
        let spec = spec_of(first, &group, cancel).await?;
        let clock = Clock::start();
        let history = History {
            version: VERSION,
            group: group.to_string(),
            seed,
            strict: spec.mode == Mode::Strict,
            lease_seconds: seconds(spec.lease_duration_seconds),
            stop_budget_seconds: seconds(spec.stop_budget_seconds),
            takeover_margin_seconds: 1.0,
            wall: clock.wall(),
            ended: clock.now(),
            clusters: fleet.clusters(),
            look_every_seconds: eyes::LOOK_EVERY.as_secs_f64(),
            faults: Vec::new(),
            settled: Vec::new(),
            presences: Vec::new(),
            blind: Vec::new(),
            leases: Vec::new(),
            groups: Vec::new(),
            states: Vec::new(),
            writes: Vec::new(),
            unanswered: Unanswered::default(),
            written: None,
            finals: Vec::new(),
            interrupted: false,
        };
        Ok(Self {
            fleet,
            sites,
            group,
            spec,
            kinds,
            notebook: Notebook::new(history, clock),
            cancel,
        })
    }

    /// All rounds, and what was seen.
    async fn run(self, scenarios: &[Scenario], count: u32) -> Result<History> {
        let lease = Duration::from_secs(self.spec.lease_duration_seconds.unsigned_abs());
        let seed = self.notebook.open().seed;
        eprintln!("group {}, seed {seed}", self.group);
        if let Some(site) = self.sites.first() {
            let prepared = writer::prepare(site, &self.group.namespace).await;
            prepared.map_err(|refusal| site.refused("making the object to write to", refusal))?;
        }
        let watched = Watched::start(&self);
        let done = self
            .rounds(&plan::rounds(seed, scenarios, count, lease))
            .await;
        // The count is read when nobody counts on.
        watched.end_writers().await;
        if done.is_ok() {
            self.last_look().await;
        }
        watched.end_eyes().await;
        done?;
        let mut history = self.notebook.open().clone();
        history.ended = self.notebook.clock.now();
        history.interrupted = self.cancel.is_cancelled();
        Ok(history)
    }

    async fn rounds(&self, rounds: &[Round]) -> Result<()> {
        let healed = self.notebook.clock.now();
        let first = self.well(0, healed, WELL_WITHIN).await;
        if first.at.is_none() && !self.cancel.is_cancelled() {
            return Err(DrillError::GroupUnwell {
                group: self.group.to_string(),
                seconds: WELL_WITHIN.as_secs(),
                what: first.wrong,
            }
            .into());
        }
        self.notebook.open().settled.push(first);
        for round in rounds {
            self.pause(round.rest).await;
            if self.cancel.is_cancelled() {
                return Ok(());
            }
            let settled = self.round(round, rounds.len()).await?;
            let is_well = settled.at.is_some();
            self.notebook.open().settled.push(settled);
            if !is_well {
                return Ok(()); // it is a finding; what follows would be one of the same
            }
        }
        Ok(())
    }

    async fn round(&self, round: &Round, of: usize) -> Result<Settled> {
        let (leader, token) = self.leader();
        let clusters = self.fleet.clusters();
        let at = clusters
            .iter()
            .position(|cluster| Some(cluster) == leader.as_ref());
        let others = clusters.len().saturating_sub(1).max(1);
        let after = if round.at_leader {
            0
        } else {
            1 + (round.other - 1) % others
        };
        let target = (at.unwrap_or_default() + after) % clusters.len().max(1);
        let cluster = clusters.get(target).cloned().unwrap_or_default();
        let is_everywhere = round.scenario == Scenario::RestartStore;
        let mut fault = Fault {
            round: round.number,
            scenario: round.scenario,
            cluster: (!is_everywhere).then(|| cluster.clone()),
            link: (round.scenario == Scenario::CutOneWay)
                .then(|| (round.link.0.to_owned(), round.link.1)),
            leader,
            token,
            began: self.notebook.clock.now(),
            ended: self.notebook.clock.now(),
        };
        eprintln!(
            "round {} of {of}: {}, for {:.1} s",
            round.number,
            fault.what(),
            round.hold.as_secs_f64()
        );
        fault::strike(self.fleet, round.scenario, &cluster, round.link).await?;
        self.pause(round.hold).await;
        self.heal().await;
        fault.ended = self.notebook.clock.now();
        let healed = fault.ended;
        self.notebook.open().faults.push(fault);
        let settled = self.well(round.number, healed, WELL_AGAIN_WITHIN).await;
        match settled.at {
            Some(at) => eprintln!("  well again after {:.1} s", at.since(healed)),
            None => eprintln!("  not well: {}", settled.wrong.join("; ")),
        }
        Ok(settled)
    }

    /// Heals. What can't be healed at once (a server that needs another one first) is tried again while all is waited for.
    async fn heal(&self) {
        if let Err(error) = heal::heal(self.fleet).await {
            tracing::info!(error = %Chain(&error), "not healed at once");
        }
    }

    /// Who leads, as any cluster last showed it.
    fn leader(&self) -> (Option<String>, Option<i64>) {
        let history = self.notebook.open();
        let newest = history
            .leases
            .iter()
            .max_by_key(|lease| (lease.token, lease.version));
        newest.map_or((None, None), |lease| (lease.holder.clone(), lease.token))
    }

    /// Waits until all clusters agree.
    async fn well(&self, round: u32, healed: super::history::Moment, bound: Duration) -> Settled {
        let until = tokio::time::Instant::now() + bound;
        // Since when all agree, and on what: a hand-over that is on its way changes it again.
        let mut agreed: Option<(Moment, Option<i64>)> = None;
        loop {
            let asked = self.notebook.clock.now();
            let views = self.views().await;
            let wrong = agreement::contradictions(&views);
            let term = views.first().and_then(|view| view.lease_token);
            agreed = match agreed {
                _ if !wrong.is_empty() => None,
                Some((since, same)) if same == term => Some((since, same)),
                _ => Some((asked, term)),
            };
            if let Some((since, _)) = agreed
                && asked.since(since) >= WELL_FOR
            {
                return Settled {
                    round,
                    healed,
                    at: Some(since),
                    wrong,
                };
            }
            if tokio::time::Instant::now() >= until || self.cancel.is_cancelled() {
                return Settled {
                    round,
                    healed,
                    at: agreed.map(|(since, _)| since),
                    wrong,
                };
            }
            // A server that ended since another one wasn't there is started as its supervisor would.
            self.heal().await;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What all clusters show, asked at the same time.
    async fn views(&self) -> Vec<View> {
        let views = self
            .sites
            .iter()
            .zip(&self.kinds)
            .map(|(site, kinds)| site.view(&self.group, kinds));
        futures_util::future::join_all(views).await
    }

    /// What the end is judged by.
    async fn last_look(&self) {
        let healed = self.notebook.clock.now();
        // A hand-over may be on its way.
        let _seen = self.well(0, healed, WELL_WITHIN).await;
        let finals = self.views().await;
        let mut written = None;
        for site in self.sites {
            if let Ok(object) = site.read(&writer::path(&self.group.namespace)).await {
                written = writer::count(&object);
                break;
            }
        }
        let mut history = self.notebook.open();
        history.finals = finals;
        history.written = written;
    }

    async fn pause(&self, time: Duration) {
        tokio::select! {
            () = self.cancel.cancelled() => {}
            () = tokio::time::sleep(time) => {}
        }
    }
}

/// The group's settings. Members that were just made have none yet.
async fn spec_of(site: &Site, group: &GroupName, cancel: &CancellationToken) -> Result<GroupSpec> {
    let until = tokio::time::Instant::now() + WELL_WITHIN;
    loop {
        let found = site.read_any(&site::group_path(group)).await;
        match found.map_err(|refusal| site.refused("asking for the group", refusal))? {
            Some(found) => {
                let spec = serde_json::from_value(found["spec"].clone());
                return Ok(spec.unwrap_or_default());
            }
            None if tokio::time::Instant::now() < until && !cancel.is_cancelled() => {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            None => {
                return Err(Error::NoGroup {
                    group: group.to_string(),
                });
            }
        }
    }
}

#[allow(clippy::cast_precision_loss)] // at most an hour
fn seconds(count: i64) -> f64 {
    count as f64
}

/// Everything that runs beside the rounds.
struct Watched {
    eyes: CancellationToken,
    writers: CancellationToken,
    watching: TaskTracker,
    writing: TaskTracker,
}

impl Watched {
    fn start(drill: &Drill<'_>) -> Self {
        let watched = Self {
            eyes: CancellationToken::new(),
            writers: CancellationToken::new(),
            watching: TaskTracker::new(),
            writing: TaskTracker::new(),
        };
        for (site, kinds) in drill.sites.iter().zip(&drill.kinds) {
            let seen = eyes::observe(
                site,
                &drill.group,
                kinds.clone(),
                &drill.notebook,
                &watched.watching,
                &watched.eyes,
            );
            watched.writing.spawn(writer::run(
                site.clone(),
                drill.group.clone(),
                seen,
                drill.notebook.clone(),
                watched.writers.clone(),
            ));
        }
        watched
    }

    async fn end_writers(&self) {
        self.writers.cancel();
        self.writing.close();
        self.writing.wait().await;
    }

    async fn end_eyes(self) {
        self.eyes.cancel();
        self.watching.close();
        self.watching.wait().await;
    }
}
