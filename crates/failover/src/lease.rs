//! A group's Lease: what of it the machine reads, and the annotations that carry it.

use std::time::Duration;

use serde_json::Value;

use crate::kind::Mode;
use crate::names::{ClusterName, Token};

/// Annotation: address of the leader; it becomes `status.leaderAddress` of the group.
pub const ADDRESS: &str = "helium.dev/failover-address";
/// Annotation: `Fast` or `Strict`, as the holder understands it in this term.
pub const MODE: &str = "helium.dev/failover-mode";
/// Annotation: the holder's stop budget in milliseconds.
pub const STOP_BUDGET: &str = "helium.dev/failover-stop-budget";
/// Annotation: there where the holder's payload has a dead-man's switch: how long that takes after the record ran out, in milliseconds.
pub const DEAD_MAN: &str = "helium.dev/failover-dead-man";
/// Annotation: earlier terms that nobody has confirmed to be over, as [`terms_text`] has them: `cluster=token,cluster=token`; with a
/// dead-man's switch `cluster=token/milliseconds`; a term of fast mode ends in `:Fast`.
pub const UNCONFIRMED: &str = "helium.dev/failover-unconfirmed";
/// Annotation of a lease that was given up: token of the term that is over, its payload gone (F3).
pub const STOPPED: &str = "helium.dev/failover-stopped";
/// Annotation: why this term began, or why it was given up; it becomes the group's `status.reason`.
pub const REASON: &str = "helium.dev/failover-reason";

/// What holders write as `spec.strategy`: no coordinator picks holders of these leases, and `preferredHolder` needs one.
pub const STRATEGY: &str = "helium.dev/Failover";
/// Annotation with the token of the present term; written by the server.
pub const FENCING_TOKEN: &str = "helium.dev/fencing-token";

/// A term that may not be over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// Who led.
    pub cluster: ClusterName,
    /// Its token.
    pub token: Token,
    /// In which mode: a strict one is waited for by every successor, a fast one by strict successors.
    pub mode: Mode,
    /// Whether its payload has a dead-man's switch, and how long that takes after the record ran out.
    pub dead_man: Option<Duration>,
}

/// What the machine sees of the group's Lease at one resourceVersion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseView {
    /// resourceVersion: a claim or renewal is a compare on it.
    pub version: String,
    /// Who holds it, if anybody.
    pub holder: Option<Holder>,
    /// To whom the holder would hand over, or for whom a free lease is kept for a moment.
    pub preferred: Option<ClusterName>,
    /// Earlier terms that may not be over.
    pub unconfirmed: Vec<Term>,
    /// Of a free lease: the term that was given up, its payload gone ([`STOPPED`]). A free lease without it was
    /// emptied by somebody else, and proves nothing.
    pub stopped: Option<Token>,
}

/// A holder, as its last record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its cluster.
    pub cluster: ClusterName,
    /// The term's token.
    pub token: Token,
    /// How long the record holds; zero where it doesn't say.
    pub duration: Duration,
    /// The mode in which it understands the term.
    pub mode: Mode,
    /// Whether its payload has a dead-man's switch, and how long that takes after the record ran out.
    pub dead_man: Option<Duration>,
}

impl LeaseView {
    /// What a Lease says, as JSON has it. A holder without a token (a server that doesn't write any) counts as token 0.
    #[must_use]
    pub fn of(lease: &Value) -> Self {
        let annotation = |name: &str| lease["metadata"]["annotations"][name].as_str();
        let spec = |name: &str| lease["spec"][name].as_str().filter(|text| !text.is_empty());
        let millis = |text: &str| text.parse().ok().map(Duration::from_millis);
        let holder = spec("holderIdentity").map(|cluster| Holder {
            cluster: ClusterName(cluster.to_owned()),
            token: Token(
                annotation(FENCING_TOKEN)
                    .and_then(|token| token.parse().ok())
                    .unwrap_or_default(),
            ),
            duration: Duration::from_secs(
                lease["spec"]["leaseDurationSeconds"]
                    .as_u64()
                    .unwrap_or_default(),
            ),
            mode: match annotation(MODE) {
                Some("Strict") => Mode::Strict,
                _ => Mode::Fast,
            },
            dead_man: annotation(DEAD_MAN).and_then(millis),
        });
        Self {
            version: lease["metadata"]["resourceVersion"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            holder,
            preferred: spec("preferredHolder").map(|name| ClusterName(name.to_owned())),
            unconfirmed: annotation(UNCONFIRMED).map_or_else(Vec::new, terms),
            stopped: annotation(STOPPED).and_then(|token| token.parse().ok().map(Token)),
        }
    }
}

/// Terms as [`UNCONFIRMED`] has them. What can't be read may be a term that isn't over: it is kept under its own text at token 0, in
/// strict mode, and only a person's force ends it.
#[must_use]
pub fn terms(text: &str) -> Vec<Term> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(|part| {
            term(part).unwrap_or_else(|| Term {
                cluster: ClusterName(part.to_owned()),
                token: Token(0),
                mode: Mode::Strict,
                dead_man: None,
            })
        })
        .collect()
}

/// `cluster=token`, `/milliseconds` and `:Fast` where they apply.
fn term(part: &str) -> Option<Term> {
    let (cluster, rest) = part.split_once('=')?;
    let (rest, mode) = match rest.strip_suffix(":Fast") {
        Some(rest) => (rest, Mode::Fast),
        None => (rest, Mode::Strict),
    };
    let (token, millis) = match rest.split_once('/') {
        Some((token, millis)) => (token, Some(millis.parse().ok()?)),
        None => (rest, None),
    };
    Some(Term {
        cluster: ClusterName(cluster.to_owned()),
        token: Token(token.parse().ok()?),
        mode,
        dead_man: millis.map(Duration::from_millis),
    })
}

/// The text of [`UNCONFIRMED`]; `None` for no terms at all.
#[must_use]
pub fn terms_text(terms: &[Term]) -> Option<String> {
    let text = |term: &Term| {
        let takes = term
            .dead_man
            .map(|takes| format!("/{}", takes.as_millis()))
            .unwrap_or_default();
        let mode = match term.mode {
            Mode::Fast => ":Fast",
            Mode::Strict => "",
        };
        format!("{}={}{takes}{mode}", term.cluster, term.token)
    };
    let parts: Vec<String> = terms.iter().map(text).collect();
    (!parts.is_empty()).then(|| parts.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unconfirmed_terms_survive_being_written_down() {
        let both = "east=7,west=9/2500,north=12/30:Fast,south=13:Fast";
        let read = terms(both);
        assert_eq!(read.len(), 4);
        assert_eq!((read[0].mode, read[3].mode), (Mode::Strict, Mode::Fast));
        assert_eq!(read[1].dead_man, Some(Duration::from_millis(2500)));
        assert_eq!(terms_text(&read).as_deref(), Some(both));
        assert_eq!(terms_text(&[]), None);
    }

    #[test]
    fn a_term_that_cannot_be_read_is_not_forgotten() {
        for part in ["x", "=", "east=y", "east=1/", "east=1:Slow"] {
            let read = terms(&format!("{part}, west=1"));
            assert_eq!((read.len(), read[0].mode), (2, Mode::Strict), "{part}");
            assert_eq!((&read[0].cluster.0[..], read[0].token), (part, Token(0)));
        }
    }

    #[test]
    fn a_lease_is_read_whoever_wrote_it() {
        let bare = LeaseView::of(&json!({"metadata": {"resourceVersion": "3"}}));
        assert_eq!((bare.version.as_str(), bare.holder), ("3", None));
        let held = LeaseView::of(&json!({
            "metadata": {"resourceVersion": "9", "annotations": {
                FENCING_TOKEN: "8", MODE: "Strict", DEAD_MAN: "1500", UNCONFIRMED: "west=5"}},
            "spec": {"holderIdentity": "east", "leaseDurationSeconds": 15, "preferredHolder": "west"},
        }));
        let holder = held.holder.unwrap();
        assert_eq!((holder.token, holder.mode), (Token(8), Mode::Strict));
        assert_eq!(holder.duration, Duration::from_secs(15));
        assert_eq!(holder.dead_man, Some(Duration::from_millis(1500)));
        assert_eq!(held.preferred, Some(ClusterName("west".to_owned())));
        assert_eq!(held.unconfirmed, terms("west=5"));
    }
}
