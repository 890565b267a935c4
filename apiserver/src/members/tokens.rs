//! What a `JoinToken` must be like: short-lived, for one cluster, and never changed.

use helium_apimachinery::field::{ErrorList, FieldError, Path};
use helium_apimachinery::meta::{Object, time_text};
use helium_apimachinery::names;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Characters of a token's public half.
const ID_CHARACTERS: usize = 6;
/// Longest life.
const LONGEST: SignedDuration = SignedDuration::from_hours(24);

/// Says what is wrong with a written token.
pub fn check(object: &Object, old: Option<&Object>, now: Timestamp) -> ErrorList {
    let mut errors = ErrorList::new();
    match old {
        None => check_new(object, now, &mut errors),
        Some(old) => check_change(object, old, &mut errors),
    }
    errors
}

fn check_new(object: &Object, now: Timestamp, errors: &mut ErrorList) {
    let metadata = Path::new("metadata");
    if !is_id(object.name()) {
        errors.push(FieldError::invalid(
            &metadata.child("name"),
            object.name(),
            format!("must be {ID_CHARACTERS} characters, each a lower-case letter or a digit"),
        ));
    }
    let spec = Path::new("spec");
    let cluster = text(object, "cluster");
    for why in names::dns1123_label(cluster) {
        errors.push(FieldError::invalid(&spec.child("cluster"), cluster, why));
    }
    let expires = text(object, "expirationTime");
    let path = spec.child("expirationTime");
    let clock = time_text(now);
    match expires.parse::<Timestamp>() {
        Err(_) => errors.push(FieldError::invalid(
            &path,
            expires,
            format!("must be a time such as {clock}"),
        )),
        Ok(at) if at <= now => errors.push(FieldError::invalid(
            &path,
            expires,
            format!("is in the past: this server's clock says {clock}"),
        )),
        Ok(at) if at.duration_since(now) > LONGEST => errors.push(FieldError::invalid(
            &path,
            expires,
            format!(
                "is more than {} hours ahead: this server's clock says {clock}",
                LONGEST.as_hours()
            ),
        )),
        Ok(_) => {}
    }
}

fn check_change(object: &Object, old: &Object, errors: &mut ErrorList) {
    if object.get("spec") != old.get("spec") {
        let why = "a token is never changed: delete it and make another one";
        errors.push(FieldError::forbidden(&Path::new("spec"), why));
    }
    let used = |object: &Object| object.get_path(&["status", "usedTime"]).cloned();
    if let Some(before) = used(old).filter(|before| !before.is_null())
        && used(object).as_ref() != Some(&before)
    {
        let status = Path::new("status");
        let why = "a token that was used stays used";
        errors.push(FieldError::forbidden(&status.child("usedTime"), why));
    }
}

/// Whether a text can be a token's public half.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ID_CHARACTERS && is_plain(text)
}

/// Whether a text has only characters that tokens are made of.
pub(super) fn is_plain(text: &str) -> bool {
    text.bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
}

/// A text of a token's spec; empty if it isn't there.
pub(super) fn text<'a>(object: &'a Object, field: &str) -> &'a str {
    object
        .get_path(&["spec", field])
        .and_then(Value::as_str)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn token(name: &str, cluster: &str, expires: &str) -> Object {
        let object = json!({
            "metadata": {"name": name},
            "spec": {"cluster": cluster, "secretHash": "sha256:00", "expirationTime": expires},
        });
        Object::try_from(object).unwrap()
    }

    fn now() -> Timestamp {
        "2026-01-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn a_token_is_named_and_lives_shortly() {
        let fine = token("abc123", "c4", "2026-01-02T12:00:00Z");
        assert!(check(&fine, None, now()).is_empty());
        let cases = [
            (
                token("abc12", "c4", "2026-01-01T13:00:00Z"),
                "metadata.name",
            ),
            (
                token("ABC123", "c4", "2026-01-01T13:00:00Z"),
                "metadata.name",
            ),
            (
                token("abc123", "C_4", "2026-01-01T13:00:00Z"),
                "spec.cluster",
            ),
            (token("abc123", "", "2026-01-01T13:00:00Z"), "spec.cluster"),
            (token("abc123", "c4", "soon"), "spec.expirationTime"),
            (token("abc123", "c4", "2026-01-01T12:00:00Z"), "in the past"),
            (
                token("abc123", "c4", "2026-01-02T12:00:01Z"),
                "24 hours ahead",
            ),
        ];
        for (object, wanted) in cases {
            let errors = check(&object, None, now());
            let first = errors.iter().next().unwrap().to_string();
            assert!(first.contains(wanted), "{first}");
        }
    }

    #[test]
    fn clocks_that_differ_are_told_from_each_other() {
        let late = token("abc123", "c4", "2026-01-01T11:15:00Z");
        let errors = check(&late, None, now()).to_string();
        assert!(errors.contains("2026-01-01T11:15:00Z"), "{errors}");
        assert!(
            errors.contains("clock says 2026-01-01T12:00:00Z"),
            "{errors}"
        );
    }

    #[test]
    fn a_token_never_changes_and_stays_used() {
        let old = token("abc123", "c4", "2026-01-01T13:00:00Z");
        let changed = token("abc123", "c5", "2026-01-01T13:00:00Z");
        assert_eq!(check(&changed, Some(&old), now()).len(), 1);
        // An expired one may still be labelled.
        let late = "2026-02-01T00:00:00Z".parse().unwrap();
        assert!(check(&old, Some(&old), late).is_empty());
        let mut used = old.clone();
        used.set("status", json!({"usedTime": "2026-01-01T12:00:00Z"}));
        assert!(check(&used, Some(&old), now()).is_empty());
        assert_eq!(check(&old, Some(&used), now()).len(), 1);
    }
}
