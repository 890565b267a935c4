//! Writes that are allowed only while a lease is held.
//!
//! A write to any shared object may carry the precondition "only while lease L is held at token T", as a header
//! (`Helium-Fence: <namespace>/<name>=<token>`) or as an annotation of the object that is sent (`helium.dev/fence`, same text;
//! it is not stored). It becomes one compare on the lease's term key ([`super::term`]) in the transaction of the write, so a
//! leader that was replaced while it slept can't overwrite its successor's work: it gets 409. Where nothing is written (a dry
//! run, an update that changes nothing) the lease is read instead.

use helium_apimachinery::Status;
use helium_apimachinery::meta::Object;
use helium_apimachinery::status::Result;
use serde_json::Value;

use super::call::Call;
use super::create::set_annotation;
use super::term;
use crate::definitions::Special;
use crate::storage::{Alongside, Beside, Record};

/// The header that carries a precondition.
const HEADER: &str = "helium-fence";
/// The annotation that does.
const ANNOTATION: &str = "helium.dev/fence";

/// A precondition: this lease is held at this token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fence {
    namespace: String,
    lease: String,
    token: i64,
}

impl Fence {
    fn parse(text: &str) -> Result<Self> {
        let parsed = text.trim().rsplit_once('=').and_then(|(lease, token)| {
            let (namespace, lease) = lease.split_once('/')?;
            let token = token.parse().ok().filter(|token| *token > 0)?;
            let plain = |part: &str| !part.is_empty() && !part.contains('/');
            (plain(namespace) && plain(lease)).then(|| Self {
                namespace: namespace.to_owned(),
                lease: lease.to_owned(),
                token,
            })
        });
        parsed.ok_or_else(|| {
            Status::bad_request(format!(
                "invalid fence {text:?}: write <namespace>/<lease>=<token>, with the lease's annotation {} as the token",
                helium_apimachinery::lease::TOKEN
            ))
        })
    }
}

impl Call<'_> {
    /// The precondition of the request. Takes it out of the object, if it stands there.
    pub(super) fn take_fence(&self, object: Option<&mut Object>) -> Result<Option<Fence>> {
        let mut texts: Vec<String> = Vec::new();
        for value in self.request.headers.get_all(HEADER) {
            let text = value.to_str().map_err(|_| {
                Status::bad_request("invalid fence: the header Helium-Fence is not text")
            })?;
            texts.push(text.to_owned());
        }
        if let Some(object) = object
            && let Some(text) = object
                .get_path(&["metadata", "annotations", ANNOTATION])
                .and_then(Value::as_str)
        {
            texts.push(text.to_owned());
            set_annotation(object, ANNOTATION, None);
        }
        let mut fences = Vec::with_capacity(texts.len());
        for text in &texts {
            fences.push(Fence::parse(text)?);
        }
        fences.dedup();
        if fences.len() > 1 {
            return Err(Status::bad_request(
                "a write can have one fence, and this one has several that differ",
            ));
        }
        Ok(fences.pop())
    }

    /// What goes with a write in its transaction.
    pub(super) fn alongside(&self, fence: Option<&Fence>, beside: Option<Beside>) -> Alongside {
        let guard = fence.map(|fence| {
            let key = self.term_key(&fence.namespace, &fence.lease);
            (key, fence.token)
        });
        let expiry = (self.live.resource.special == Special::Event)
            .then(|| self.registry.event_expiry.clone());
        Alongside {
            guard,
            besides: beside.into_iter().collect(),
            unmoved: self.members_unmoved(),
            expiry,
            ..Alongside::default()
        }
    }

    /// The same check for what writes nothing.
    pub(super) async fn check_fence(&self, name: &str, fence: Option<&Fence>) -> Result<()> {
        let Some(fence) = fence else {
            return Ok(());
        };
        let key = self.term_key(&fence.namespace, &fence.lease);
        let found = self.registry.store.get(&key).await?;
        if found.as_ref().map(|term| term.revision) == Some(fence.token) {
            return Ok(());
        }
        Err(self.fenced(name, Some(fence), found.as_ref()))
    }

    /// The answer to a write whose lease isn't held.
    pub(super) fn fenced(
        &self,
        name: &str,
        fence: Option<&Fence>,
        found: Option<&Record>,
    ) -> Status {
        let held = |fence: &&Fence| found.map(|term| term.revision) != Some(fence.token);
        let Some(fence) = fence.filter(held) else {
            return Status::object_modified(&self.group_resource(), name);
        };
        let now = found.map_or_else(
            || "nobody holds it now".to_owned(),
            |term| {
                let holder = term::describe(&term.value);
                format!("{holder} holds it at token {}", term.revision)
            },
        );
        Status::conflict(
            &self.group_resource(),
            name,
            format_args!(
                "lease {}/{} is not held at token {}: {now}; stop acting on that lease",
                fence.namespace, fence.lease, fence.token
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fence_names_a_lease_and_a_token() {
        let fence = Fence::parse(" default/leader=42 ").unwrap();
        assert_eq!(
            (&*fence.namespace, &*fence.lease, fence.token),
            ("default", "leader", 42)
        );
        for wrong in [
            "",
            "default/leader",
            "leader=42",
            "default/leader=x",
            "default/leader=0",
            "/l=1",
            "a/=1",
            "a/b/c=1",
            "a/b=-1",
        ] {
            assert!(Fence::parse(wrong).is_err(), "{wrong:?}");
        }
    }
}
