//! Who may connect: the fleet's members, as the store itself lists them.
//!
//! The clusters of a fleet share the store, and each has an authority of its own. Which authorities
//! count stands in the store: `Member` objects below `--members-prefix`. This instance follows them
//! in the state that it has applied ([`members`]), so that shutting a cluster out is one write, and
//! needs nothing but what a replica does anyway.
//!
//! # What holds
//!
//! 1. While the fleet is *open* (no member lists an authority) `--trusted-ca-file` decides, as
//!    without the flag. From the first authority on the members decide alone, and nobody asks the
//!    file any more.
//! 2. Every connection is judged three times: at the handshake, when it is taken over from there (a
//!    resumed session brings a certificate that no handshake has looked at), and whenever the
//!    members change. One that passes isn't disturbed: so the first member's own connections live
//!    on when the fleet closes. One whose certificate has expired meanwhile doesn't pass.
//! 3. A connection that doesn't pass any more ([`access`]) gets no further call, its streams end with
//!    a status that says why, and what is under way has half a second: [`EXPULSION`]. An outsider's write is
//!    therefore acknowledged at most that long after this instance has applied the change; and what
//!    is evaluated after the change was applied had been queued before.
//! 4. What is known stays known: an instance that loses its database, or loads its state again,
//!    judges by the members that it saw last. Before the first look nobody is let in.
//! 5. Links to other instances are judged by the same members, in both directions.
//!
//! # What it will not do
//!
//! Tell members apart: a member may read and write the whole store. Which objects a cluster may
//! write is the API servers' to say. A Unix socket is guarded by the rights of its file alone, and
//! the second address for metrics by `--trusted-ca-file`: neither is a way for a cluster to the
//! store.

mod access;
mod members;
mod metrics;

use std::sync::Arc;
use std::time::{Duration, Instant};

use helium_tls::{ClientCas, ClientJudge, Distrust, MemberRecord, MemberTrust, ServerJudge};
use parking_lot::Mutex;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::sync::watch;
use tracing::{info, warn};

pub(crate) use access::Access;
pub(crate) use members::{follow, look};
pub(crate) use metrics::GateMetrics;

/// How long calls may take to end once their connection is not accepted any more.
pub(crate) const EXPULSION: Duration = Duration::from_millis(500);

/// Why somebody isn't let in. The text is for logs and for the client.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub(crate) enum Refused {
    /// The state isn't loaded.
    #[error("the fleet's members aren't known yet")]
    Unknown,
    /// The members decide.
    #[error(transparent)]
    Member(#[from] Distrust),
    /// The fleet is open, and a file decides.
    #[error("the authorities in the server's files don't vouch for the certificate: {0}")]
    Authority(rustls::Error),
}

impl From<Refused> for rustls::Error {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::Unknown => Self::General(refused.to_string()),
            Refused::Member(distrust) => distrust.into(),
            Refused::Authority(error) => error,
        }
    }
}

/// What decides while the fleet is open.
#[derive(Debug, Default)]
pub(crate) struct OpenFleet {
    /// Authorities of clients; without, everybody may come.
    pub(crate) clients: Option<ClientCas>,
    /// Authorities of other instances; without, none is linked to.
    pub(crate) servers: Option<Arc<dyn ServerCertVerifier>>,
}

/// Decides who may connect.
#[derive(Debug)]
pub(crate) struct Gate {
    members: MemberTrust,
    open: OpenFleet,
    metrics: GateMetrics,
    /// How often the members have changed; zero before the first look at them.
    generation: watch::Sender<u64>,
    /// When a refusal was last told to everybody who reads the log.
    told: Mutex<Option<Instant>>,
}

/// Pause between two refusals in the log: whoever can dial must not be able to fill the disk.
const TELL: Duration = Duration::from_secs(10);

impl Gate {
    /// A gate that lets nobody in until it is told of the members.
    pub(crate) fn new(open: OpenFleet, metrics: GateMetrics) -> Arc<Self> {
        Arc::new(Self {
            members: MemberTrust::new(),
            open,
            metrics,
            generation: watch::Sender::new(0),
            told: Mutex::new(None),
        })
    }

    /// Follows the changes of what is decided here.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Takes a connection over from its handshake.
    pub(crate) fn admit(
        self: &Arc<Self>,
        chain: Vec<CertificateDer<'static>>,
    ) -> Result<Access, Refused> {
        // Read first: a change in between is then seen as one.
        let seen = *self.generation.borrow();
        match self.judge(&chain, UnixTime::now()) {
            Ok(()) => Ok(Access::new(Arc::clone(self), chain, seen)),
            Err(refused) => {
                self.refuse(&refused);
                Err(refused)
            }
        }
    }

    /// Counts a client that has shown no certificate: the handshake ends without asking the gate.
    pub(crate) fn handshake_failed(&self, error: &std::io::Error) {
        let source = error.get_ref().and_then(|source| source.downcast_ref());
        if matches!(source, Some(rustls::Error::NoCertificatesPresented)) {
            self.refuse(&Distrust::NoCertificate.into());
        }
    }

    /// Counts and tells that somebody was refused, who may get no better answer than a TLS alert.
    fn refuse(&self, refused: &Refused) {
        self.metrics.refused.inc();
        let mut told = self.told.lock();
        if told.is_some_and(|last| last.elapsed() < TELL) {
            tracing::debug!(reason = %refused, "a client is refused");
        } else {
            *told = Some(Instant::now());
            info!(reason = %refused, "a client is refused, others of the next seconds are not told");
        }
    }

    /// Takes in what the state says of the members.
    fn update(&self, records: Vec<MemberRecord>) {
        let update = self.members.set(records);
        for (member, error) in update.unusable {
            warn!(
                member,
                error = helium_journal::chain(&error),
                "certificateAuthorities of a member can't be used: it is refused"
            );
        }
        let is_first = *self.generation.borrow() == 0;
        if !update.changed && !is_first {
            return;
        }
        let (trusted, revoked) = self.members.counts();
        self.metrics
            .trusted
            .set(trusted.try_into().unwrap_or(i64::MAX));
        self.metrics
            .revoked
            .set(revoked.try_into().unwrap_or(i64::MAX));
        if !self.members.is_open() {
            info!(
                trusted,
                revoked,
                "clients are accepted as members of the fleet, by the members' own authorities"
            );
        } else if self.open.clients.is_some() {
            info!("no member lists an authority: clients are accepted by --trusted-ca-file");
        } else {
            info!(
                "no member lists an authority, and there is no --trusted-ca-file: every client is accepted"
            );
        }
        self.generation.send_modify(|generation| *generation += 1);
    }

    /// Whether a client with this chain may be connected at `now`.
    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Refused> {
        if *self.generation.borrow() == 0 {
            return Err(Refused::Unknown);
        }
        if !self.members.is_open() {
            return Ok(self.members.judge_client(chain, now).map(drop)?);
        }
        let Some(authorities) = &self.open.clients else {
            return Ok(());
        };
        let (end_entity, intermediates) = chain.split_first().ok_or(Distrust::NoCertificate)?;
        authorities
            .verify_any(end_entity, intermediates, now)
            .map_err(Refused::Authority)
    }
}

impl ClientJudge for Gate {
    fn is_mandatory(&self) -> bool {
        self.open.clients.is_some() || !self.members.is_open()
    }

    fn judge(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let chain: Vec<CertificateDer<'_>> = std::iter::once(end_entity)
            .chain(intermediates)
            .cloned()
            .collect();
        Self::judge(self, &chain, now).map_err(|refused| {
            self.refuse(&refused);
            refused.into()
        })
    }
}

impl ServerJudge for Gate {
    fn judge_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let judged = if *self.generation.borrow() == 0 {
            Err(Refused::Unknown)
        } else if !self.members.is_open() {
            let member = self.members.judge_server(chain, name, now);
            member.map(drop).map_err(Refused::from)
        } else {
            judge_by_file(self.open.servers.as_deref(), chain, name, now)
        };
        Ok(judged?)
    }
}

/// Judges another instance's certificate by `--peer-ca-file`.
fn judge_by_file(
    authorities: Option<&dyn ServerCertVerifier>,
    chain: &[CertificateDer<'_>],
    name: &ServerName<'_>,
    now: UnixTime,
) -> Result<(), Refused> {
    let (end_entity, intermediates) = chain.split_first().ok_or(Distrust::NoCertificate)?;
    let authorities = authorities.ok_or_else(|| {
        Refused::Authority(rustls::Error::General("there is no --peer-ca-file".into()))
    })?;
    authorities
        .verify_server_cert(end_entity, intermediates, name, &[], now)
        .map(drop)
        .map_err(Refused::Authority)
}

/// Judges other instances by `--peer-ca-file` alone: where no members are followed.
#[derive(Debug)]
pub(crate) struct PeerAuthorities(pub(crate) Arc<dyn ServerCertVerifier>);

impl ServerJudge for PeerAuthorities {
    fn judge_server(
        &self,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        Ok(judge_by_file(Some(&*self.0), chain, name, now)?)
    }
}
