//! Each decision, from what is seen to what is written.

use super::*;

/// Names, in any order of standing.
struct Scene {
    now: Instant,
    candidates: Vec<Candidate>,
    lease: Option<Lease>,
}

fn version(text: &str) -> Option<Version> {
    Version::parse(text).ok()
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

impl Scene {
    /// Candidates that are there, by name and emulated version, the first the oldest.
    fn of(candidates: &[(&str, &str)]) -> Self {
        let now = Instant::now() + seconds(100_000);
        let candidate = |(at, (name, emulation)): (usize, &(&str, &str))| Candidate {
            name: (*name).to_owned(),
            cluster: format!("cluster-of-{name}"),
            version: 7,
            created: Timestamp::from_second(at as i64).ok(),
            strategy: OLDEST_EMULATION_VERSION.to_owned(),
            binary: version("1.36.0"),
            emulation: version(emulation),
            priority: 0,
            renewed: Timestamp::from_second(1000).ok(),
            presence: Presence {
                shown: Some(now - seconds(1)),
                asked: None,
                first: now - seconds(60),
            },
        };
        Self {
            now,
            candidates: candidates.iter().enumerate().map(candidate).collect(),
            lease: None,
        }
    }

    fn prioritised(candidates: &[(&str, i32)]) -> Self {
        let plain: Vec<_> = candidates
            .iter()
            .map(|(name, _)| (*name, "1.36.0"))
            .collect();
        let mut scene = Self::of(&plain);
        for (candidate, (_, priority)) in scene.candidates.iter_mut().zip(candidates) {
            candidate.strategy = PRIORITY.to_owned();
            candidate.priority = *priority;
        }
        scene
    }

    fn held_by(mut self, holder: &str) -> Self {
        self.lease = Some(Lease {
            holder: holder.to_owned(),
            cluster: format!("cluster-of-{holder}"),
            preferred: String::new(),
            strategy: OLDEST_EMULATION_VERSION.to_owned(),
            duration: seconds(15),
            transitions: 3,
            version: 9,
            since: self.now - seconds(2),
        });
        self
    }

    fn presence(mut self, name: &str, change: impl Fn(&mut Presence, Instant)) -> Self {
        let now = self.now;
        let candidate = self.candidates.iter_mut().find(|one| one.name == name);
        change(&mut candidate.expect("a candidate").presence, now);
        self
    }

    fn lease(mut self, change: impl Fn(&mut Lease)) -> Self {
        change(self.lease.as_mut().expect("a lease"));
        self
    }

    fn decide(&self) -> Decision {
        decide(self.lease.as_ref(), &self.candidates, self.now)
    }

    /// Whom it is given to, if to anybody.
    fn granted(&self) -> Option<String> {
        self.decide()
            .actions
            .into_iter()
            .find_map(|action| match action {
                Action::Grant { to, .. } => Some(to),
                _ => None,
            })
    }

    fn preferred(&self) -> Option<String> {
        self.decide()
            .actions
            .into_iter()
            .find_map(|action| match action {
                Action::Prefer { whom, .. } => Some(whom),
                _ => None,
            })
    }

    fn pinged(&self) -> Vec<String> {
        let pings = self
            .decide()
            .actions
            .into_iter()
            .filter_map(|action| match action {
                Action::Ping { candidate, .. } => Some(candidate),
                _ => None,
            });
        pings.collect()
    }
}

fn long_ago(presence: &mut Presence, now: Instant) {
    presence.shown = Some(now - seconds(60));
}

fn asked(ago: u64) -> impl Fn(&mut Presence, Instant) {
    move |presence, now| {
        presence.shown = Some(now - seconds(60));
        presence.asked = Some(now - seconds(ago));
    }
}

#[test]
fn a_lease_that_nobody_holds_goes_to_the_oldest_emulated_version() {
    let scene = Scene::of(&[("new", "1.36.0"), ("old", "1.35.0"), ("mid", "1.35.1")]);
    let Action::Grant {
        to,
        cluster,
        over,
        strategy,
    } = &scene.decide().actions[0]
    else {
        panic!("a grant, not {:?}", scene.decide());
    };
    assert_eq!((to.as_str(), cluster.as_str()), ("old", "cluster-of-old"));
    assert_eq!((over, strategy.as_str()), (&None, OLDEST_EMULATION_VERSION));
    let free = scene.held_by("").lease(|lease| lease.strategy.clear());
    let Action::Grant { over, .. } = &free.decide().actions[0] else {
        panic!("a grant, not {:?}", free.decide());
    };
    assert_eq!(over, &Some((9, 3)));
}

#[test]
fn equal_candidates_go_by_age_and_then_by_name() {
    let scene = Scene::of(&[("b", "1.35.0"), ("a", "1.35.0")]);
    assert_eq!(scene.granted().as_deref(), Some("b"));
    let mut twins = scene;
    for candidate in &mut twins.candidates {
        candidate.created = None;
    }
    assert_eq!(twins.granted().as_deref(), Some("a"));
}

#[test]
fn the_highest_priority_leads() {
    let scene = Scene::prioritised(&[
        ("none", 0),
        ("low", 1),
        ("high", i32::MAX),
        ("late", i32::MAX),
    ]);
    assert_eq!(scene.granted().as_deref(), Some("high"));
}

#[test]
fn a_holder_that_renews_is_left_alone() {
    let scene = Scene::of(&[("a", "1.35.0"), ("b", "1.36.0")]).held_by("a");
    let decision = scene.decide();
    assert_eq!(decision.actions, []);
    assert_eq!(
        decision.wake,
        Some(scene.now + seconds(13)),
        "when it would end"
    );
    let worse = scene.presence("b", long_ago);
    assert_eq!(worse.pinged(), [""; 0], "and nobody is bothered");
}

#[test]
fn a_better_candidate_is_preferred_and_nothing_is_taken_before_the_term_ends() {
    let scene = Scene::of(&[("a", "1.35.0"), ("b", "1.36.0")]).held_by("b");
    let decision = scene.decide();
    let expected = Action::Prefer {
        whom: "a".into(),
        holder_cluster: "cluster-of-b".into(),
        strategy: OLDEST_EMULATION_VERSION.into(),
        version: 9,
    };
    assert_eq!(decision.actions, [expected]);
    let told = scene.lease(|lease| lease.preferred = "a".into());
    assert_eq!(told.decide().actions, []);
    let now = told.now;
    let over = told.lease(|lease| lease.since = now - seconds(15));
    assert_eq!(over.granted().as_deref(), Some("a"));
}

#[test]
fn a_better_candidate_that_may_be_gone_is_asked_first() {
    let scene = Scene::of(&[("a", "1.35.0"), ("b", "1.36.0")]).held_by("b");
    let scene = scene.presence("a", long_ago);
    assert_eq!(
        (scene.pinged(), scene.preferred()),
        (vec!["a".to_owned()], None)
    );
    let waiting = scene.presence("a", asked(2));
    let decision = waiting.decide();
    assert_eq!(
        (&decision.actions[..], decision.wake),
        (&[][..], Some(waiting.now + seconds(3)))
    );
    assert_eq!(waiting.presence("a", asked(5)).decide().actions, []);
}

#[test]
fn candidates_that_are_silent_are_passed_over_and_those_that_may_answer_are_waited_for() {
    let scene = || Scene::of(&[("a", "1.34.0"), ("b", "1.35.0"), ("c", "1.36.0")]);
    let unknown = scene()
        .presence("a", long_ago)
        .presence("c", |presence, _| presence.shown = None);
    assert_eq!(
        (unknown.pinged(), unknown.granted()),
        (vec!["a".into(), "c".into()], None)
    );
    let waiting = scene().presence("a", asked(1));
    assert_eq!(waiting.decide().actions, []);
    assert_eq!(waiting.decide().wake, Some(waiting.now + seconds(4)));
    let silent = scene().presence("a", asked(9));
    assert_eq!(silent.granted().as_deref(), Some("b"));
    // The worse ones aren't waited for.
    let best = scene().presence("c", asked(1));
    assert_eq!(best.granted().as_deref(), Some("a"));
    let nobody = ["a", "b", "c"]
        .iter()
        .fold(scene(), |scene, name| scene.presence(name, asked(9)));
    assert_eq!(nobody.decide().actions, []);
}

#[test]
fn a_lease_that_was_taken_without_being_picked_is_waited_for_and_not_meddled_with() {
    let scene = Scene::of(&[("a", "1.35.0")]).held_by("plain");
    let plain = scene.lease(|lease| lease.strategy.clear());
    assert_eq!(plain.decide().actions, []);
    let now = plain.now;
    let over = plain.lease(|lease| lease.since = now - seconds(16));
    assert_eq!(over.granted().as_deref(), Some("a"));
}

#[test]
fn a_record_without_a_duration_holds_nothing_and_one_that_is_huge_does_no_harm() {
    let scene = Scene::of(&[("a", "1.35.0")]).held_by("b");
    let endless = scene.lease(|lease| lease.duration = Duration::MAX);
    assert_eq!(endless.granted(), None);
    let empty = endless.lease(|lease| lease.duration = Duration::ZERO);
    assert_eq!(empty.granted().as_deref(), Some("a"));
}

#[test]
fn the_newest_programs_choose_the_strategy_and_must_agree() {
    let mut scene = Scene::of(&[("a", "1.35.0"), ("b", "1.36.0")]);
    scene.candidates[1].strategy = PRIORITY.into();
    scene.candidates[1].binary = version("1.37.0");
    let Action::Grant { to, strategy, .. } = &scene.decide().actions[0] else {
        panic!("a grant, not {:?}", scene.decide());
    };
    assert_eq!((to.as_str(), strategy.as_str()), ("a", PRIORITY));
    scene.candidates[1].binary = version("1.36.0");
    let decision = scene.decide();
    assert_eq!(decision.actions, []);
    assert!(
        decision
            .problem
            .expect("a problem")
            .contains("want different strategies")
    );
    // One that has gone has no say.
    let gone = scene.presence("b", asked(9));
    assert_eq!(gone.granted().as_deref(), Some("a"));
    let mut foreign = gone;
    foreign.candidates[0].strategy = "example.com/Mine".into();
    assert_eq!(foreign.decide().actions, [], "somebody else picks");
}

#[test]
fn whoever_has_not_been_seen_for_half_an_hour_is_removed() {
    let scene = Scene::of(&[("a", "1.35.0"), ("b", "1.36.0")]);
    let scene = scene.presence("a", |presence, now| {
        presence.shown = None;
        presence.first = now - FORGOTTEN;
    });
    let decision = scene.decide();
    let forget = Action::Forget {
        candidate: "a".into(),
        cluster: "cluster-of-a".into(),
        version: 7,
    };
    assert!(decision.actions.contains(&forget), "{decision:?}");
    assert_eq!(scene.granted().as_deref(), Some("b"));
}

#[test]
fn nobody_stands_for_it_and_nothing_happens() {
    assert_eq!(decide(None, &[], Instant::now()), Decision::default());
}
