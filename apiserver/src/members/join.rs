//! `POST /join`: how a cluster becomes a member.
//!
//! The caller shows a token and hands over its authorities; it gets the fleet's trust bundle. The token is the only
//! credential: nobody is authenticated or asked for rights, since a cluster that isn't a member yet is nobody.
//!
//! Invariants:
//! - **J1** One transaction: the token is as it was read and becomes used, the member is new, and no other member has
//!   changed since its authorities were compared. Whatever happens on the way, nothing is half-done.
//! - **J2** A token opens once, for one cluster, until it expires by the clock of the server that is asked. Messages tell
//!   both times, so that clocks that differ can be told from tokens that are old.
//! - **J3** Who guesses learns nothing: an unknown token and a wrong secret get the same answer, hashes are compared in
//!   constant time, and wrong answers are few ([`gate`]).
//! - **J4** Nobody joins an open fleet: the first authority would shut everybody else out, this server's cluster included.
//!
//! Here are the decisions, as functions of what was sent and what is stored; the registry reads and writes.

pub(crate) mod gate;

use helium_apimachinery::field::{ErrorKind, ErrorList, FieldError, Path};
use helium_apimachinery::meta::{Object, time_text};
use helium_apimachinery::status::Reason;
use helium_apimachinery::{GroupKind, GroupResource, Status, names};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Roster, rules, tokens};
use crate::definitions::builtin::{HELIUM_GROUP, JOIN_TOKENS, MEMBERS};

/// Where it is asked for, on the direct endpoint alone.
pub(crate) const PATH: &str = "/join";
/// Largest request: authorities are at most half of it.
pub(crate) const MAX_BODY_BYTES: usize = 128 * 1024;
/// Characters of a token's secret half.
const SECRET_CHARACTERS: usize = 24;

/// What a cluster sends that wants to join.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Body {
    token: String,
    cluster: String,
    certificate_authorities: String,
}

/// A request to join that can be understood.
pub(crate) struct Request {
    /// The token's public half: the name of its object.
    pub(crate) token: String,
    secret: String,
    /// The cluster that wants to join.
    pub(crate) cluster: String,
    /// PEM of its authorities; not looked at before the token was good.
    pub(crate) authorities: String,
}

impl Request {
    /// Reads a request. 400 if it isn't one, 401 if what it shows can't be a token, 422 if the cluster's name is none.
    pub(crate) fn parse(body: &[u8]) -> Result<Self, Status> {
        let body: Body = serde_json::from_slice(body).map_err(|error| {
            Status::bad_request(format!(
                "the body is no request to join: {error}; send {{\"token\":\"id.secret\",\"cluster\":\"name\",\"certificateAuthorities\":\"PEM\"}}"
            ))
        })?;
        let mut errors = ErrorList::new();
        for why in names::dns1123_label(&body.cluster) {
            let path = Path::new("cluster");
            errors.push(FieldError::invalid(&path, body.cluster.as_str(), why));
        }
        if !errors.is_empty() {
            return Err(Status::invalid(&kind(), &body.cluster, &errors));
        }
        let (token, secret) = body.token.split_once('.').ok_or_else(unknown_token)?;
        let well_formed =
            tokens::is_id(token) && secret.len() == SECRET_CHARACTERS && tokens::is_plain(secret);
        if !well_formed {
            return Err(unknown_token());
        }
        Ok(Self {
            token: token.to_owned(),
            secret: secret.to_owned(),
            cluster: body.cluster,
            authorities: body.certificate_authorities,
        })
    }
}

/// The stored token as it is once it was used for this request; else why it doesn't open (J2, J3).
pub(crate) fn redeem(
    stored: Option<&Object>,
    request: &Request,
    now: Timestamp,
) -> Result<Object, Status> {
    // Compared even where there is nothing to compare with.
    let expected = stored.map_or("", |token| tokens::text(token, "secretHash"));
    let secret_fits = same(expected.as_bytes(), hash(&request.secret).as_bytes());
    let Some(token) = stored.filter(|token| secret_fits && !token.is_terminating()) else {
        return Err(unknown_token());
    };
    let resource = GroupResource::new(HELIUM_GROUP, JOIN_TOKENS);
    let refuse = |why: String| Err(Status::forbidden(&resource, &request.token, why));
    let (cluster, clock) = (tokens::text(token, "cluster"), time_text(now));
    let anew = format!("make another one with helium token create --cluster {cluster}");
    if cluster != request.cluster {
        return refuse(format!(
            "the token is for cluster {cluster:?}, and {:?} wants to join with it",
            request.cluster
        ));
    }
    let used = token.get_path(&["status", "usedTime"]);
    if let Some(used) = used.and_then(Value::as_str) {
        return refuse(format!(
            "the token was used at {used}, and opens once; {anew}"
        ));
    }
    let expires = tokens::text(token, "expirationTime");
    if expires.parse::<Timestamp>().is_ok_and(|at| now < at) {
        let mut used = token.clone();
        used.set("status", json!({"usedTime": clock}));
        return Ok(used);
    }
    refuse(format!(
        "the token expired at {expires}, and this server's clock says {clock}; {anew}, and if this one should still be good, \
         compare this clock with that of the server where it was made"
    ))
}

/// Whether this cluster has joined with this very token and authority before: it lost the answer, or was killed before it
/// had written it down, and asks again. It gets the answer again, and nothing changes (J2 is about clusters, not requests).
pub(crate) fn is_repeated(stored: Option<&Object>, request: &Request, roster: &Roster) -> bool {
    let Some(token) = stored else { return false };
    let expected = tokens::text(token, "secretHash");
    let used = token.get_path(&["status", "usedTime"]);
    same(expected.as_bytes(), hash(&request.secret).as_bytes())
        && tokens::text(token, "cluster") == request.cluster
        && used.is_some_and(Value::is_string)
        && roster.get(&request.cluster).is_some_and(|member| {
            member.authorities.trim() == request.authorities.trim()
                && member.revoked.is_none()
                && !member.leaving
        })
}

/// Whether the cluster can be a member among those that there are: 409 if its name or an authority of its is taken or the fleet
/// is open (J4), 422 if its authorities can't be any.
pub(crate) fn check(request: &Request, roster: &Roster, own: &str) -> Result<(), Status> {
    let cluster = request.cluster.as_str();
    let taken = |why: String| {
        let resource = GroupResource::new(HELIUM_GROUP, MEMBERS);
        Err(Status::conflict(&resource, cluster, why))
    };
    if roster.is_open() {
        return taken(format!(
            "no member has an authority yet, so that of cluster {cluster} would shut out everybody else, cluster {own} included; \
             run helium init for cluster {own} first"
        ));
    }
    let (known, unfit): (Vec<_>, Vec<_>) = rules::unusable(cluster, &request.authorities, roster)
        .into_iter()
        .partition(|unusable| unusable.taken);
    if !unfit.is_empty() {
        let mut errors = ErrorList::new();
        for unusable in unfit {
            let path = Path::new("certificateAuthorities");
            // Without the value, which may be a key.
            errors.push(FieldError::new(
                ErrorKind::Invalid,
                &path,
                None,
                unusable.why,
            ));
        }
        return Err(Status::invalid(&kind(), cluster, &errors));
    }
    if roster.get(cluster).is_some() {
        return taken(name_taken(cluster));
    }
    match known.into_iter().next() {
        Some(unusable) => taken(unusable.why),
        None => Ok(()),
    }
}

/// What whoever joins is told if there is a member of the name.
pub(crate) fn name_taken(cluster: &str) -> String {
    format!(
        "there is a member of that name; choose another --cluster-name, or, if that cluster is gone for good, \
         let it leave first with helium leave --dead {cluster}"
    )
}

/// The answer to a cluster that has joined.
pub(crate) fn answer(member: &Object, roster: &Roster) -> Value {
    let (cluster, authorities) = (member.name(), rules::authorities_of(member));
    let mut trust: Vec<(&str, &str)> = roster
        .taking_part()
        .map(|other| (other.cluster.as_str(), other.authorities.as_str()))
        .filter(|(_, authorities)| !authorities.is_empty())
        .collect();
    trust.push((cluster, authorities));
    trust.sort_unstable();
    trust.dedup();
    let mut clusters: Vec<&str> = roster.active().collect();
    clusters.push(cluster);
    clusters.sort_unstable();
    clusters.dedup();
    let trust: Vec<Value> = trust
        .into_iter()
        .map(|(cluster, authorities)| {
            json!({"cluster": cluster, "certificateAuthorities": authorities})
        })
        .collect();
    json!({"member": member.as_value(), "trust": trust, "clusters": clusters})
}

fn kind() -> GroupKind {
    GroupKind {
        group: HELIUM_GROUP.to_owned(),
        kind: "Member".to_owned(),
    }
}

/// The one answer to every token that isn't one (J3).
fn unknown_token() -> Status {
    Status::new(
        401,
        Reason::Unauthorized,
        "the token is unknown or its secret wrong: show it as helium token create printed it, \
         6 characters, a dot and 24 characters",
    )
}

/// What is stored of a secret.
fn hash(secret: &str) -> String {
    let digest = Sha256::digest(secret);
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Whether two texts are equal, in a time that depends on their lengths alone.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

#[cfg(test)]
mod tests;
