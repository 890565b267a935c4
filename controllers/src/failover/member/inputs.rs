//! What a member is told by those who follow the store.

use std::sync::Arc;

use kube::core::DynamicObject;

use crate::membership::Alive;

/// An object as it was last heard: not read yet, absent, or there.
#[derive(Debug, Clone, Default)]
pub(in crate::failover) enum Seen {
    /// Nothing is known.
    #[default]
    Unread,
    /// It was looked for and isn't there.
    Absent,
    /// It is this.
    There(Arc<DynamicObject>),
}

impl Seen {
    /// From a look into a list that was read.
    pub(in crate::failover) fn of(found: Option<&Arc<DynamicObject>>) -> Self {
        found.map_or(Self::Absent, |object| Self::There(Arc::clone(object)))
    }

    /// Whether there is no news: the same object, not an equal one.
    pub(in crate::failover) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Unread, Self::Unread) | (Self::Absent, Self::Absent) => true,
            (Self::There(one), Self::There(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    /// The object, if it is there.
    pub(in crate::failover) fn object(&self) -> Option<&Arc<DynamicObject>> {
        match self {
            Self::There(object) => Some(object),
            _ => None,
        }
    }
}

/// All that a member sees.
#[derive(Debug, Clone, Default)]
pub(in crate::failover) struct Inputs {
    /// Its MultiCluster.
    pub(in crate::failover) own: Seen,
    /// The group.
    pub(in crate::failover) group: Seen,
    /// The group's Lease.
    pub(in crate::failover) lease: Seen,
    /// Which clusters are there, if that is known.
    pub(in crate::failover) alive: Option<Arc<Alive>>,
}

impl Inputs {
    /// Whether there is no news.
    pub(in crate::failover) fn is(&self, other: &Self) -> bool {
        let alive = match (&self.alive, &other.alive) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        alive
            && self.own.is(&other.own)
            && self.group.is(&other.group)
            && self.lease.is(&other.lease)
    }
}
