//! Who should lead: one order for all members, of what all of them see.

use std::cmp::Reverse;

use super::view::{Candidate, GroupView};
use crate::names::ClusterName;

/// Those who can lead, the best first: whom the group prefers, then the highest rank, of equal ranks the oldest, then by name.
/// `me` is judged by `me_can` and not by what the group says of it, which may be old.
pub(super) fn ranking<'a>(
    group: &'a GroupView,
    me: &ClusterName,
    me_can: bool,
) -> Vec<&'a Candidate> {
    let can = |one: &&Candidate| {
        if one.cluster == *me {
            me_can
        } else {
            one.ready && one.alive
        }
    };
    let mut ranking: Vec<&Candidate> = group.members.iter().filter(can).collect();
    ranking.sort_by_key(|one| {
        (
            group.preferred.as_ref() != Some(&one.cluster),
            Reverse(one.rank),
            one.joined.is_empty(),
            &one.joined,
            &one.cluster,
        )
    });
    ranking
}

/// How many come before `me`, without those that `passed` names.
pub(super) fn place(
    group: &GroupView,
    me: &ClusterName,
    passed: impl Fn(&ClusterName) -> bool,
) -> u32 {
    ranking(group, me, true)
        .iter()
        .filter(|one| one.cluster == *me || !passed(&one.cluster))
        .position(|one| one.cluster == *me)
        .map_or(u32::MAX, |place| u32::try_from(place).unwrap_or(u32::MAX))
}
