//! What may be written into a `Member`, and through whom (M3). Pure: judged by what is stored, and by who else belongs.
//!
//! | field | who |
//! |---|---|
//! | `spec.certificateAuthorities` | while there are none, who administers the fleet through any member (in an open fleet only the cluster itself); then the cluster itself |
//! | `spec.revoked`, `spec.revokedReason` | who administers the fleet, through any other member; never the cluster itself |
//! | `metadata.labels`, `status` | the cluster itself; others may set the condition Ready to Unknown |
//!
//! To administer the fleet is the verb `administer` on members, beside the right to write them: a cluster's agent keeps its own
//! member, and must not be able to let clusters in or shut them out.

use helium_apimachinery::field::{ErrorKind, ErrorList, FieldError, Path};
use helium_apimachinery::meta::Object;
use helium_apimachinery::names;
use serde_json::{Value, json};

use super::roster::{is_revoked, spec_text};
use super::{FINALIZER, Roster, Standing, authorities};

/// The condition that tells whether a cluster takes part.
const READY: &str = "Ready";

/// What is said to those who keep their own cluster's member and try more.
const NEEDS_ADMINISTER: &str = "who belongs to the fleet is decided by those with the verb administer on members.helium.dev \
    (ClusterRole helium-fleet-admin)";

/// Who writes, and among whom.
#[derive(Debug, Clone, Copy)]
pub struct Origin<'a> {
    /// The cluster that the write comes through.
    pub cluster: &'a str,
    /// Whether whoever writes may decide who belongs to the fleet: admit clusters, and shut them out.
    pub administers: bool,
    /// The members at the time.
    pub roster: &'a Roster,
}

impl Origin<'_> {
    /// Whether the fleet counts the writer among its own.
    fn takes_part(self) -> bool {
        matches!(
            self.roster.standing(self.cluster),
            Standing::Member | Standing::Open | Standing::Unknown
        )
    }
}

/// A valid write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admitted {
    /// Whether it changes the authorities, so that it holds only as long as no other member has changed meanwhile.
    pub trust_changed: bool,
}

/// Completes a written member (its finalizer) and says what is wrong with it.
pub fn admit(
    object: &mut Object,
    old: Option<&Object>,
    origin: Origin<'_>,
) -> Result<Admitted, ErrorList> {
    let mut errors = ErrorList::new();
    if old.is_none() {
        let path = Path::new("metadata");
        for why in names::dns1123_label(object.name()) {
            errors.push(FieldError::invalid(&path.child("name"), object.name(), why));
        }
    }
    let own = origin.cluster == object.name();
    let trust_changed = check_authorities(object, old, own, origin, &mut errors);
    check_revocation(object, old, own, origin, &mut errors);
    if !own {
        check_foreign(object, old, &mut errors);
    }
    errors.into_result()?;
    if !object.is_terminating() {
        keep_finalizer(object);
    }
    Ok(Admitted { trust_changed })
}

fn check_authorities(
    object: &Object,
    old: Option<&Object>,
    own: bool,
    origin: Origin<'_>,
    errors: &mut ErrorList,
) -> bool {
    let field = "certificateAuthorities";
    let spec = Path::new("spec");
    let path = spec.child(field);
    let new = spec_text(object, field);
    let before = old.map_or("", |old| spec_text(old, field));
    if new == before {
        return false;
    }
    let name = object.name();
    if !before.is_empty() && !own {
        errors.push(FieldError::forbidden(
            &path,
            format!(
                "only cluster {name} itself changes its authorities, and this is cluster {}",
                origin.cluster
            ),
        ));
        return true;
    }
    if new.is_empty() {
        let why = "a member keeps at least one authority: delete the member if the cluster leaves";
        errors.push(FieldError::forbidden(&path, why));
        return true;
    }
    let fleet = origin.roster;
    if !own && !origin.takes_part() {
        let why = format!(
            "only members admit others, and cluster {} is none",
            origin.cluster
        );
        errors.push(FieldError::forbidden(&path, why));
    } else if !own && fleet.is_open() {
        errors.push(FieldError::forbidden(
            &path,
            format!(
                "no member has an authority yet, so this one would shut out everybody else, cluster {} included: \
                 begin with that cluster's own (helium init)",
                origin.cluster
            ),
        ));
    } else if !own && !origin.administers {
        errors.push(FieldError::forbidden(&path, NEEDS_ADMINISTER));
    }
    for Unusable { why, .. } in unusable(name, new, fleet) {
        // Without the value, which may be a key.
        errors.push(FieldError::new(ErrorKind::Invalid, &path, None, why));
    }
    true
}

/// Why a text can't be a cluster's authorities.
pub(super) struct Unusable {
    pub(super) why: String,
    /// Whether only because another member has them.
    pub(super) taken: bool,
}

/// Why a text can't be a cluster's authorities, if it can't.
pub(super) fn unusable(cluster: &str, pem: &str, fleet: &Roster) -> Vec<Unusable> {
    let parsed = match authorities::parse(pem) {
        Ok(parsed) => parsed,
        Err(error) => {
            return vec![Unusable {
                why: error.to_string(),
                taken: false,
            }];
        }
    };
    let others = || fleet.members().values().filter(|m| m.cluster != cluster);
    parsed
        .iter()
        .filter_map(|authority| {
            let other = others().find(|member| member.keys.contains(&authority.key))?;
            let why = format!(
                "the authority {} is member {}'s already: every cluster has authorities of its own",
                authority.subject, other.cluster
            );
            Some(Unusable { why, taken: true })
        })
        .collect()
}

/// The authorities that a member lists.
pub(super) fn authorities_of(object: &Object) -> &str {
    spec_text(object, "certificateAuthorities")
}

fn check_revocation(
    object: &Object,
    old: Option<&Object>,
    own: bool,
    origin: Origin<'_>,
    errors: &mut ErrorList,
) {
    let (was, is) = (old.is_some_and(is_revoked), is_revoked(object));
    let reason = |object: &Object| spec_text(object, "revokedReason").to_owned();
    let reworded = was && is && old.map(reason) != Some(reason(object));
    if was == is && !reworded {
        return;
    }
    let spec = Path::new("spec");
    let path = spec.child(if reworded { "revokedReason" } else { "revoked" });
    if own && is && !was {
        let why = "a cluster doesn't shut itself out: let it leave (helium leave), or revoke it through another member";
        errors.push(FieldError::forbidden(&path, why));
    } else if own {
        let why = "only another member changes or takes back a revocation";
        errors.push(FieldError::forbidden(&path, why));
    } else if !origin.takes_part() {
        let why = format!(
            "only members revoke, and cluster {} is none",
            origin.cluster
        );
        errors.push(FieldError::forbidden(&path, why));
    } else if !origin.administers {
        errors.push(FieldError::forbidden(&path, NEEDS_ADMINISTER));
    }
}

/// What a cluster may not write into another's member.
fn check_foreign(object: &Object, old: Option<&Object>, errors: &mut ErrorList) {
    let name = object.name();
    let labels = |object: &Object| object.labels().filter(|l| !l.is_empty()).cloned();
    if labels(object) != old.and_then(labels) {
        let metadata = Path::new("metadata");
        let why = format!("only cluster {name} itself labels its member");
        errors.push(FieldError::forbidden(&metadata.child("labels"), why));
    }
    let (new, before) = (status(object), old.map_or(Value::Null, status));
    if new != before && !is_missed_heartbeat(new, before) {
        let why = format!(
            "only cluster {name} itself reports its status; others may only set the condition Ready to Unknown"
        );
        errors.push(FieldError::forbidden(&Path::new("status"), why));
    }
}

fn status(object: &Object) -> Value {
    match object.get("status") {
        Some(Value::Object(status)) if !status.is_empty() => Value::Object(status.clone()),
        _ => Value::Null,
    }
}

/// Whether a change of status does no more than set Ready to Unknown.
fn is_missed_heartbeat(new: Value, before: Value) -> bool {
    let (new, ready) = without_ready(new);
    let (before, _) = without_ready(before);
    new == before && ready.is_some_and(|ready| ready["status"] == "Unknown")
}

fn without_ready(mut status: Value) -> (Value, Option<Value>) {
    let Some(list) = status.get_mut("conditions").and_then(Value::as_array_mut) else {
        return (with_conditions(status), None);
    };
    let at = list.iter().position(|condition| condition["type"] == READY);
    let ready = at.map(|at| list.remove(at));
    (with_conditions(status), ready)
}

/// The same whether there are no conditions or an empty list of them.
fn with_conditions(mut status: Value) -> Value {
    if status.is_null() {
        status = json!({});
    }
    if status.get("conditions").is_none_or(Value::is_null) {
        status["conditions"] = json!([]);
    }
    status
}

fn keep_finalizer(object: &mut Object) {
    let mut finalizers: Vec<String> = object.finalizers().into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
        object.set_finalizers(&finalizers);
    }
}

#[cfg(test)]
mod tests;
