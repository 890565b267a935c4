//! Terms of leases, and the fencing tokens that name them.
//!
//! Whoever acquires a lease begins a *term*. The transaction that writes the acquisition also writes the lease's *term
//! key*; the revision of that transaction is the term's fencing token. Renewals leave the key alone; giving the lease up, and
//! deleting it, deletes the key. So "lease L is held at token T" is one compare: the term key is at revision T.
//!
//! A token grows with every term of every lease, in the one order of the store. Clients read it in the annotation
//! `helium.dev/fencing-token`, which only the server writes: an acquisition is stored without it, since nobody knows the revision
//! beforehand, and reading fills it in; every later write stores it.

use std::borrow::Cow;

use bytes::Bytes;
use helium_apimachinery::lease::{self, TOKEN};
use helium_apimachinery::meta::Object;
use serde_json::{Value, json};

use super::call::Call;
use super::create::set_annotation;
use crate::definitions::Special;
use crate::storage::Beside;

/// What an object's own text says of its token.
pub(super) fn token(object: &Object) -> Option<&str> {
    object
        .get_path(&["metadata", "annotations", TOKEN])
        .and_then(Value::as_str)
}

/// Fills the token of a lease that was read, or has just been written, at a revision.
pub(super) fn complete(lease: &mut Object, revision: i64) {
    if !lease::holder(lease).is_empty() && token(lease).is_none() {
        set_annotation(lease, TOKEN, Some(&revision.to_string()));
    }
}

impl Call<'_> {
    fn is_lease(&self) -> bool {
        self.live.resource.special == Special::Lease
    }

    /// Sets what is stored of the token, whatever the client sent.
    pub(super) fn set_token(&self, new: &mut Object, old: Option<&Object>) {
        if !self.is_lease() {
            return;
        }
        let kept = if lease::holder(new).is_empty() || lease::begins_term(old, new) {
            None
        } else {
            old.and_then(token)
        };
        set_annotation(new, TOKEN, kept);
    }

    /// Fills the token of a lease that was written at a revision.
    pub(super) fn complete_token(&self, written: &mut Object, revision: i64) {
        if self.is_lease() {
            complete(written, revision);
        }
    }

    /// What a write does to the lease's term key.
    pub(super) fn term_change(&self, old: Option<&Object>, new: Option<&Object>) -> Option<Beside> {
        if !self.is_lease() {
            return None;
        }
        let name = new.or(old).map(Object::name).unwrap_or_default();
        let key = self.term_key(&self.namespace, name);
        match new {
            Some(new) if lease::begins_term(old, new) => {
                let term = json!({
                    "holder": lease::holder(new),
                    "cluster": self.origin,
                });
                Some(Beside::Put(key, Bytes::from(term.to_string())))
            }
            Some(new) if !lease::holder(new).is_empty() => None,
            // Given up or deleted. There may be no term to end.
            _ => Some(Beside::Delete(key)),
        }
    }

    pub(super) fn term_key(&self, namespace: &str, name: &str) -> String {
        self.registry.store.keys().term(namespace, name)
    }
}

/// Who holds a term, as its key says: for messages.
pub(super) fn describe(value: &[u8]) -> Cow<'static, str> {
    let Ok(term) = serde_json::from_slice::<Value>(value) else {
        return Cow::Borrowed("somebody");
    };
    let text = |name: &str| term[name].as_str().unwrap_or("?").to_owned();
    Cow::Owned(format!(
        "{:?} of cluster {:?}",
        text("holder"),
        text("cluster")
    ))
}
