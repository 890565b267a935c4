//! The question to somebody better, and its answer.
//!
//! A leader doesn't stop for a member that only looks better: it asks, by `preferredHolder` of its record, and stops when the other has
//! answered by `standsFor` of its entry. One that doesn't answer is passed over for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Reason;
use super::alarm::Alarm;
use super::order::ranking;
use super::view::GroupView;
use crate::names::{ClusterName, Token};
use crate::timing::Boot;

/// How long an answer may take, from the acknowledged question.
const ANSWER: Duration = Duration::from_secs(5);
/// For how long one that didn't answer isn't asked again.
const PASSED_OVER: Duration = Duration::from_secs(30);

/// Whom the leader asks.
#[derive(Debug, Default)]
pub(super) struct Handover {
    /// The one that should be asked, and since when the record asks it.
    asked: Option<(ClusterName, Option<Boot>)>,
    passed: BTreeMap<ClusterName, Boot>,
}

impl Handover {
    /// Who should be asked now, if anybody.
    pub(super) fn consider(
        &mut self,
        group: &GroupView,
        me: &ClusterName,
        alarm: &mut Alarm,
    ) -> Option<&ClusterName> {
        if let Some((cluster, Some(since))) = &self.asked
            && alarm.reached(*since + ANSWER)
        {
            self.passed
                .insert(cluster.clone(), alarm.now() + PASSED_OVER);
            self.asked = None;
        }
        self.passed.retain(|_, until| !alarm.reached(*until));
        // Who isn't in the group yet, or not any more, can't be compared with anybody.
        let best = if group.paused || group.member(me).is_none() {
            None
        } else {
            ranking(group, me, true)
                .into_iter()
                .find(|one| !self.passed.contains_key(&one.cluster))
                .filter(|one| one.cluster != *me)
        };
        match best {
            None => self.asked = None,
            Some(best) => {
                let already = self.asked.as_ref().map(|(cluster, _)| cluster);
                if already != Some(&best.cluster) {
                    self.asked = Some((best.cluster.clone(), None));
                }
            }
        }
        if let Some((_, Some(since))) = &self.asked {
            alarm.reached(*since + ANSWER);
        }
        self.asked()
    }

    /// Who is asked, or is to be.
    pub(super) fn asked(&self) -> Option<&ClusterName> {
        self.asked.as_ref().map(|(cluster, _)| cluster)
    }

    /// The record asks now.
    pub(super) fn acknowledged(&mut self, now: Boot, preferred: Option<&ClusterName>) {
        if let Some((cluster, since)) = &mut self.asked
            && since.is_none()
            && preferred == Some(cluster)
        {
            *since = Some(now);
        }
    }

    /// Who answered that it would succeed this term, and why it was asked.
    pub(super) fn answered(
        &self,
        group: &GroupView,
        token: Token,
    ) -> Option<(ClusterName, Reason)> {
        let (cluster, _) = self.asked.as_ref()?;
        let entry = group.member(cluster)?;
        (entry.stands_for == Some(token)).then(|| {
            let reason = if group.preferred.as_ref() == Some(cluster) {
                Reason::Preferred
            } else {
                Reason::HigherRank
            };
            (cluster.clone(), reason)
        })
    }

    /// The term is over.
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }
}
