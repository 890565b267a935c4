//! What an operator or a test may tune.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

/// How long the key of an incarnation stays, in seconds: somewhat longer than whoever asks for it can have to wait, which is twice the
/// hour that a lease of helium-apiserver's may last.
pub const INCARNATION_TTL: i64 = 2 * 3600 + 100;

/// How a linearizable read makes sure that nothing newer exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReadBarrier {
    /// Ask the primary for the newest slot. One cheap query, shared by all waiting reads.
    #[default]
    Query,
    /// Append an empty entry. Costs a write, and stays right even where a cut-off primary that
    /// nobody demoted would still answer queries.
    Append,
}

/// Settings of one [`Replica`](super::Replica).
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this instance, written to the members table and into entries.
    pub name: String,
    /// URLs under which clients and the other instances reach this one.
    pub advertise_client_urls: Vec<String>,
    /// How linearizable reads are confirmed.
    pub read_barrier: ReadBarrier,
    /// Shortest pause between two polls of the journal, used while others are writing.
    pub poll_min: Duration,
    /// Longest pause between two polls, reached when nothing happens.
    pub poll_max: Duration,
    /// Cap of one batch, in bytes of keys and values.
    pub batch_bytes: usize,
    /// Cap of one batch, in requests.
    pub batch_requests: usize,
    /// Requests that may wait for the sequencer; more are refused.
    pub queue_requests: usize,
    /// How long a request may wait for an append that is not decided before its caller is told
    /// that the store is unavailable. The append itself is never given up.
    pub request_timeout: Duration,
    /// First pause before an undecided append is tried again.
    pub retry_min: Duration,
    /// Longest pause between two tries of an undecided append.
    pub retry_max: Duration,
    /// Pause between two heartbeats in the members table.
    pub heartbeat_interval: Duration,
    /// An owner whose heartbeat stood still for this long, by our own clock, is replaced.
    pub owner_timeout: Duration,
    /// Whether this instance may own epochs. Without any instance that may, leases never expire.
    pub may_own: bool,
    /// A member whose heartbeat stood still for this long is no longer listed.
    pub member_timeout: Duration,
    /// Pause between two scans for leases that are due (etcd scans every 500 ms).
    pub expiry_interval: Duration,
    /// Most leases that one scan revokes.
    pub expiry_batch: usize,
    /// Pause between two looks at whether the checkpoint can move.
    pub checkpoint_interval: Duration,
    /// Rows of one checkpoint chunk.
    pub checkpoint_chunk: usize,
    /// Entries folded into one step of the checkpoint.
    pub checkpoint_entries: usize,
    /// A checkpoint claim whose holder made no progress for this long, by our own clock, is taken.
    pub checkpoint_claim_timeout: Duration,
    /// Rows deleted by one trimming statement.
    pub trim_rows: usize,
    /// Entries, and bytes of entries, read in one query.
    pub fetch_entries: usize,
    /// See [`Options::fetch_entries`].
    pub fetch_bytes: usize,
    /// How far revisions jump after the database went back in time, beyond the newest revision
    /// that this instance has shown to anybody.
    pub incarnation_bump: i64,
    /// A key that is put with each incarnation, for clients that must know of one in their transactions. It goes by itself after
    /// [`INCARNATION_TTL`].
    pub incarnation_key: Option<Bytes>,
    /// Failovers of the database lose nothing that was acknowledged (synchronous replication). Else
    /// another timeline or system identifier counts as a database that went back in time.
    pub trust_failovers: bool,
    /// What the state machine allows: shortest lease, operations of one transaction.
    pub limits: helium_mvcc::Limits,
    /// Whether to link to the other members and exchange committed entries.
    pub peers: bool,
    /// How links trust and identify themselves where a member advertises `https`; without it such
    /// a member is not linked to.
    pub link_tls: Option<LinkTls>,
}

/// TLS of links to other instances.
#[derive(Debug, Clone)]
pub struct LinkTls {
    /// How to dial.
    pub config: Arc<rustls::ClientConfig>,
    /// Changes of whom `config` accepts: links are then made anew. If this is there, members that
    /// advertise no TLS are not linked to: nobody would know who they are.
    pub changes: Option<watch::Receiver<u64>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            advertise_client_urls: Vec::new(),
            read_barrier: ReadBarrier::Query,
            poll_min: Duration::from_millis(10),
            poll_max: Duration::from_millis(100),
            batch_bytes: 1 << 20,
            batch_requests: 4096,
            queue_requests: 8192,
            request_timeout: Duration::from_secs(5),
            retry_min: Duration::from_millis(20),
            retry_max: Duration::from_secs(1),
            heartbeat_interval: Duration::from_millis(500),
            owner_timeout: Duration::from_secs(2),
            may_own: true,
            member_timeout: Duration::from_secs(30),
            expiry_interval: Duration::from_millis(250),
            expiry_batch: 500,
            checkpoint_interval: Duration::from_secs(5),
            checkpoint_chunk: 500,
            checkpoint_entries: 4096,
            checkpoint_claim_timeout: Duration::from_secs(15),
            trim_rows: 1000,
            fetch_entries: 1024,
            fetch_bytes: 8 << 20,
            incarnation_bump: 1_000_000,
            incarnation_key: None,
            trust_failovers: false,
            limits: helium_mvcc::Limits::default(),
            peers: true,
            link_tls: None,
        }
    }
}
