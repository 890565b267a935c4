//! The instances of the log, and when each was last heard of.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use helium_journal::{Member, WriterId};
use helium_mvcc::MemberId;

use crate::replica::options::Options;
use crate::replica::status::MemberView;

/// Rows of members that have been silent for this many times the member timeout are removed.
const REMOVE_AFTER: u32 = 10;

/// What the members table said, with our own times.
#[derive(Debug)]
pub(in crate::replica) struct Members {
    own: Member,
    timeout: Duration,
    seen: BTreeMap<WriterId, Seen>,
}

#[derive(Debug)]
struct Seen {
    row: Member,
    /// When the counter was first seen at its current value.
    heard: Duration,
}

impl Members {
    pub(in crate::replica) fn new(id: WriterId, options: &Options) -> Self {
        let own = Member {
            id,
            name: options.name.clone(),
            addresses: serde_json::Value::from(options.advertise_client_urls.clone()).to_string(),
            formats: vec![helium_mvcc::ENCODING],
            heartbeat: 0,
        };
        Self {
            own,
            timeout: options.member_timeout,
            seen: BTreeMap::new(),
        }
    }

    /// Our own row for the next heartbeat.
    pub(super) fn beat(&mut self) -> Member {
        self.own.heartbeat += 1;
        self.own.clone()
    }

    /// Takes in the table's rows, and tells which are to be removed.
    pub(super) fn update(&mut self, now: Duration, rows: Vec<Member>) -> Vec<WriterId> {
        let present: HashSet<_> = rows.iter().map(|row| row.id).collect();
        self.seen.retain(|id, _| present.contains(id));
        for row in rows.into_iter().filter(|row| row.id != self.own.id) {
            match self.seen.get_mut(&row.id) {
                Some(seen) if seen.row.heartbeat == row.heartbeat => {}
                Some(seen) => *seen = Seen { row, heard: now },
                None => {
                    self.seen.insert(row.id, Seen { row, heard: now });
                }
            }
        }
        let limit = self.timeout * REMOVE_AFTER;
        let is_dead = |seen: &Seen| now.saturating_sub(seen.heard) >= limit;
        self.seen
            .iter()
            .filter(|(_, seen)| is_dead(seen))
            .map(|(id, _)| *id)
            .collect()
    }

    /// When a member's counter was last seen to change.
    pub(super) fn heard(&self, member: MemberId) -> Option<Duration> {
        self.seen.get(&WriterId(member.0)).map(|seen| seen.heard)
    }

    pub(in crate::replica) fn is_alive(&self, now: Duration, id: WriterId) -> bool {
        id == self.own.id
            || self
                .seen
                .get(&id)
                .is_some_and(|seen| self.is_recent(now, seen))
    }

    fn is_recent(&self, now: Duration, seen: &Seen) -> bool {
        now.saturating_sub(seen.heard) < self.timeout
    }

    /// Everybody who is alive, this instance included, by id.
    pub(in crate::replica) fn alive(&self, now: Duration) -> Vec<MemberView> {
        let others = self.seen.values().filter(|seen| self.is_recent(now, seen));
        let mut alive: Vec<_> = others.map(|seen| view(&seen.row)).collect();
        alive.push(view(&self.own));
        alive.sort_by_key(|member| member.id.0);
        alive
    }

    /// The others who are alive.
    pub(in crate::replica) fn others(&self, now: Duration) -> Vec<MemberView> {
        let others = self.seen.values().filter(|seen| self.is_recent(now, seen));
        others.map(|seen| view(&seen.row)).collect()
    }
}

fn view(row: &Member) -> MemberView {
    MemberView {
        id: row.id,
        name: row.name.clone(),
        // A row that this version can't read has no address for it.
        client_urls: serde_json::from_str(&row.addresses).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: u64, heartbeat: i64) -> Member {
        Member {
            id: WriterId(id),
            name: format!("m{id}"),
            addresses: "[\"http://a:1\"]".to_owned(),
            formats: vec![1],
            heartbeat,
        }
    }

    #[test]
    fn a_member_lives_while_its_counter_changes_by_our_own_clock() {
        let second = Duration::from_secs;
        let options = Options {
            member_timeout: second(10),
            ..Options::default()
        };
        let mut members = Members::new(WriterId(1), &options);
        assert_eq!(members.update(second(0), vec![row(2, 7)]), []);
        assert!(members.is_alive(second(9), WriterId(2)));
        assert_eq!(members.update(second(9), vec![row(2, 7)]), []);
        assert!(
            !members.is_alive(second(10), WriterId(2)),
            "the counter stood still"
        );
        assert_eq!(members.heard(MemberId(2)), Some(second(0)));
        assert_eq!(members.update(second(12), vec![row(2, 8)]), []);
        assert!(members.is_alive(second(12), WriterId(2)));
        assert_eq!(members.update(second(112), vec![row(2, 8)]), [WriterId(2)]);
        assert_eq!(members.update(second(113), vec![]), []);
        assert_eq!(members.heard(MemberId(2)), None);
        assert_eq!(members.alive(second(113)).len(), 1, "this instance itself");
    }

    #[test]
    fn addresses_survive_the_table() {
        let urls = vec!["http://127.0.0.1:2379".to_owned()];
        let options = Options {
            advertise_client_urls: urls.clone(),
            ..Options::default()
        };
        let mut members = Members::new(WriterId(1), &options);
        let row = members.beat();
        assert_eq!(view(&row).client_urls, urls);
        assert!(
            view(&Member {
                addresses: "?".into(),
                ..row
            })
            .client_urls
            .is_empty()
        );
    }
}
