//! Failover: the cluster's MultiClusters, each a member of a group of which one leads.

pub mod clock;
pub mod payload;
pub mod switch;
