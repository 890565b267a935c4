//! Which database answers (I2).
//!
//! After an asynchronous failover every live instance compares its own newest entry with what is
//! left. That says nothing of what an instance showed to clients that is gone by now, or of what
//! one that lagged never saw. So a database that names itself differently, or is on another
//! timeline, counts as one that went back in time, unless the operator knows that its failovers
//! lose nothing.

use helium_journal::DatabaseIdentity;
use helium_mvcc::Incarnation;

use super::follower::Broken;
use super::reload::Cause;
use super::shared::Shared;

/// The database as it was last seen, and the incarnation that was confirmed there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    system: String,
    timeline: i64,
    incarnation: Incarnation,
}

impl Known {
    fn new(identity: DatabaseIdentity, incarnation: Incarnation) -> Self {
        // Nodes of a YugabyteDB cluster are one database, and describe themselves, not it.
        let is_one_of_many = identity.version.contains("-YB-");
        Self {
            system: if is_one_of_many {
                String::new()
            } else {
                identity.system
            },
            timeline: if is_one_of_many { 0 } else { identity.timeline },
            incarnation,
        }
    }

    fn is_same_database(&self, other: &Self) -> bool {
        (&self.system, self.timeline) == (&other.system, other.timeline)
    }
}

/// Remembers the database whose state has just been loaded.
pub(super) fn remember(shared: &Shared, identity: DatabaseIdentity, incarnation: Incarnation) {
    *shared.database.lock() = Some(Known::new(identity, incarnation));
}

/// Compares the database with the one that was seen last.
pub(super) async fn check(shared: &Shared) -> Result<(), Broken> {
    let identity = shared.journal.identity_read().await?;
    let seen = Known::new(identity, shared.core.read().state().incarnation());
    let mut known = shared.database.lock();
    let is_fine = match &*known {
        // Somebody else has noticed, and lifted the revision for all of us.
        Some(known) if !known.is_same_database(&seen) => {
            shared.options.trust_failovers || seen.incarnation > known.incarnation
        }
        _ => true,
    };
    if !is_fine {
        return Err(Broken::Moved(Cause::OtherDatabase));
    }
    *known = Some(seen);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(system: &str, timeline: i64, version: &str) -> DatabaseIdentity {
        DatabaseIdentity {
            system: system.to_owned(),
            timeline,
            in_recovery: false,
            version: version.to_owned(),
        }
    }

    #[test]
    fn nodes_of_one_yugabytedb_cluster_are_one_database() {
        let known = |system, timeline, version| {
            Known::new(identity(system, timeline, version), Incarnation(0))
        };
        let one = known("1", 1, "PostgreSQL 15.2-YB-2025.2.3.0-b1");
        let two = known("2", 1, "PostgreSQL 15.2-YB-2025.2.3.0-b1");
        assert!(one.is_same_database(&two));
        let (one, two) = (known("1", 1, "15.18"), known("1", 2, "15.18"));
        assert!(!one.is_same_database(&two), "promoted");
        assert!(
            !one.is_same_database(&known("2", 1, "15.18")),
            "another one"
        );
    }
}
