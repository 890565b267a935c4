//! Which database this is, and how large.

/// What tells one database, or one history of it, from another.
///
/// Entries record it, so that a change shows as a failover with a possible loss. The chain of
/// entries is the proof; this is an early warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatabaseIdentity {
    /// PostgreSQL's system identifier; the id row of a SQLite file; a random name for memory.
    /// Empty when the server does not tell.
    pub system: String,
    /// PostgreSQL's timeline, which a promotion changes; zero where there is no such thing.
    pub timeline: i64,
    /// The server is a standby and must be used for nothing.
    pub in_recovery: bool,
    /// The server's version, for people.
    pub version: String,
}

/// What is fixed when a journal is first opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogMeta {
    /// Random, never zero, the same for every instance: the etcd cluster id.
    pub cluster_id: u64,
}

/// Bytes that the store takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreSize {
    /// Allocated, including free space inside the database's files.
    pub total_bytes: u64,
    /// In use; equal to `total_bytes` where the database does not tell.
    pub used_bytes: u64,
}
