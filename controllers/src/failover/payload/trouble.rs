//! Refusals, sorted into what a person must change and what may be tried again, in words that say what to do.

use std::fmt;

use helium_failover::GroupName;
use serde_json::Value;

use super::object::{ObjectName, Place, text};
use super::wire::Refused;

/// Why an object of a payload can't be applied as it is. The name is what an Event's reason shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProblemReason {
    /// It is there, and somebody else's.
    ForeignObject,
    /// The cluster doesn't serve its kind.
    UnknownKind,
    /// Its namespace isn't there.
    NamespaceMissing,
    /// It names a namespace and its kind has none.
    NotNamespaced,
    /// Rights are missing.
    Forbidden,
    /// A quota, a policy or a webhook says no.
    Denied,
    /// It isn't a valid object of its kind.
    Invalid,
}

impl ProblemReason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForeignObject => "ForeignObject",
            Self::UnknownKind => "UnknownKind",
            Self::NamespaceMissing => "NamespaceMissing",
            Self::NotNamespaced => "NotNamespaced",
            Self::Forbidden => "Forbidden",
            Self::Denied => "Denied",
            Self::Invalid => "Invalid",
        }
    }
}

impl fmt::Display for ProblemReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a person must change about one object of a payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The object.
    pub object: ObjectName,
    /// What is wrong, in one word.
    pub reason: ProblemReason,
    /// What is wrong and what to do; doesn't name the object.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.message)
    }
}

/// Why something couldn't be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FailureReason {
    /// The API server doesn't answer, or says that it can't.
    Away,
    /// It asks for patience.
    Busy,
    /// It doesn't know the agent.
    Unauthorized,
    /// The agent may not do it.
    Forbidden,
    /// A webhook doesn't answer.
    Webhook,
    /// An object of that name is still being deleted.
    Terminating,
    /// Nothing may be sent any more in this term.
    TimeOver,
    /// A later decision has ended it.
    Ended,
    /// What is there can't be understood.
    Unreadable,
    /// Objects are deleted, and not gone yet.
    Remaining,
}

impl FailureReason {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Away => "Away",
            Self::Busy => "Busy",
            Self::Unauthorized => "Unauthorized",
            Self::Forbidden => "Forbidden",
            Self::Webhook => "Webhook",
            Self::Terminating => "Terminating",
            Self::TimeOver => "TimeOver",
            Self::Ended => "Ended",
            Self::Unreadable => "Unreadable",
            Self::Remaining => "Remaining",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that may succeed later without anybody changing the payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// Why, in one word.
    pub reason: FailureReason,
    /// Why, and what to do.
    pub message: String,
}

impl Failure {
    /// A failure in words.
    pub(super) fn new(reason: FailureReason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
        }
    }

    /// Whether it may pass by itself; else a person must do what the message says.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        !matches!(
            self.reason,
            FailureReason::Forbidden | FailureReason::Unreadable
        )
    }
}

/// What a refusal means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The object must be changed, or something for it.
    Problem(ProblemReason, String),
    /// May be tried again.
    Failure(Failure),
    /// Not as it was when it was looked at.
    Changed(String),
    /// Not there: the object, its namespace or its kind.
    Missing(String),
}

/// Who asks, for advice about rights.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker<'a> {
    pub(super) group: &'a GroupName,
    /// Name of the service account, in the group's namespace, if one is impersonated.
    pub(super) account: Option<&'a str>,
}

/// Judges a refusal of a request about an object.
pub(super) fn judge(refused: &Refused, doing: &str, place: &Place, asker: Asker<'_>) -> Verdict {
    let (code, body) = match refused {
        Refused::NotSent(words) | Refused::NoAnswer(words) => {
            let message = format!(
                "{doing} {}: the cluster's API server doesn't answer ({words}); it is tried again",
                place.object()
            );
            return Verdict::Failure(Failure::new(FailureReason::Away, message));
        }
        Refused::Answer { code, body } => (*code, body),
    };
    let said = text(body, "/message").unwrap_or("no reason given");
    let failure = |reason, advice: &str| {
        let message = format!("{doing} {}: {said}; {advice}", place.object());
        Verdict::Failure(Failure::new(reason, message))
    };
    let problem = |reason, advice: &str| {
        let message = if advice.is_empty() {
            said.to_owned()
        } else {
            format!("{said}; {advice}")
        };
        Verdict::Problem(reason, message)
    };
    match code {
        401 => failure(
            FailureReason::Unauthorized,
            "the agent's credentials aren't accepted: look at its token or kubeconfig",
        ),
        403 if is_terminating(body) => failure(
            FailureReason::Terminating,
            "the namespace is being deleted: wait until it is gone, and make it anew",
        ),
        403 if said.contains("cannot impersonate") => failure(
            FailureReason::Forbidden,
            "give the agent the verb impersonate on serviceaccounts, or unset --failover-service-account",
        ),
        403 if said.contains(" cannot ") => {
            problem(ProblemReason::Forbidden, &rights(place, asker))
        }
        403 => problem(
            ProblemReason::Denied,
            "change the object, or what refuses it",
        ),
        404 => Verdict::Missing(said.to_owned()),
        405 | 415 => problem(
            ProblemReason::Invalid,
            "the kind can't be applied on the server's side, so it can't be in a payload",
        ),
        409 => Verdict::Changed(said.to_owned()),
        429 => failure(FailureReason::Busy, "it is tried again"),
        _ if said.contains("failed calling webhook") => failure(
            FailureReason::Webhook,
            "repair the webhook's service, or remove its configuration; it is tried again",
        ),
        _ if said.contains("denied the request") => {
            problem(ProblemReason::Denied, "change the object, or the webhook")
        }
        422 if said.contains("immutable") => problem(
            ProblemReason::Invalid,
            "the field can't be changed on an object that is there: give the object another name",
        ),
        400 | 413 | 422 => problem(ProblemReason::Invalid, ""),
        // A field that the schema doesn't have, or of another type, comes as an internal error.
        _ if said.contains("typed patch object") || said.contains("not declared in schema") => {
            problem(ProblemReason::Invalid, "")
        }
        _ => failure(FailureReason::Away, "it is tried again"),
    }
}

fn is_terminating(body: &Value) -> bool {
    let causes = body.pointer("/details/causes").and_then(Value::as_array);
    causes.is_some_and(|causes| {
        causes
            .iter()
            .any(|cause| cause["reason"] == "NamespaceTerminating")
    })
}

/// Which right is missing, and who must get it.
fn rights(place: &Place, asker: Asker<'_>) -> String {
    let group = match place.group.as_str() {
        "" => "\"\"",
        group => group,
    };
    let who = match asker.account {
        Some(account) => format!("ServiceAccount {}/{account}", asker.group.namespace),
        None => "the agent".to_owned(),
    };
    let kind = match &place.namespace {
        Some(namespace) => format!("a RoleBinding in namespace {namespace}"),
        None => "a ClusterRoleBinding".to_owned(),
    };
    format!(
        "give {who} by {kind} the verbs get, list, create, patch and delete on {} of group {group}",
        place.resource
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn place() -> Place {
        Place {
            group: "apps".to_owned(),
            version: "v1".to_owned(),
            kind: "Deployment".to_owned(),
            resource: "deployments".to_owned(),
            namespace: Some("shop".to_owned()),
            name: "web".to_owned(),
            uid: None,
        }
    }

    fn judged(code: u16, message: &str, account: Option<&str>) -> Verdict {
        let group = GroupName {
            namespace: "shop".to_owned(),
            callsign: "web".to_owned(),
        };
        let refused = Refused::Answer {
            code,
            body: json!({"kind": "Status", "message": message}),
        };
        let asker = Asker {
            group: &group,
            account,
        };
        judge(&refused, "applying", &place(), asker)
    }

    #[test]
    fn each_refusal_says_what_to_do() {
        let cannot = "deployments.apps \"web\" is forbidden: User \"system:serviceaccount:shop:deployer\" cannot patch resource \"deployments\"";
        let verdicts: Vec<String> = [
            judged(401, "Unauthorized", None),
            judged(403, cannot, Some("deployer")),
            judged(403, cannot, None),
            judged(
                403,
                "User \"agent\" cannot impersonate resource \"serviceaccounts\"",
                Some("deployer"),
            ),
            judged(403, "exceeded quota: pods", None),
            judged(404, "namespaces \"shop\" not found", None),
            judged(409, "uid mismatch", None),
            judged(
                422,
                "spec.selector: Invalid value: field is immutable",
                None,
            ),
            judged(422, "spec.replicas: must be greater than 0", None),
            judged(429, "too many requests", None),
            judged(
                500,
                "Internal error: failed calling webhook \"w\": no endpoints",
                None,
            ),
            judged(400, "admission webhook \"w\" denied the request: no", None),
            judged(
                500,
                "failed to create typed patch object: .spec.x: field not declared in schema",
                None,
            ),
            judged(503, "apiserver is shutting down", None),
        ]
        .iter()
        .map(|verdict| match verdict {
            Verdict::Problem(reason, message) => format!("problem {reason}: {message}"),
            Verdict::Failure(failure) => format!("failure {}: {failure}", failure.reason),
            Verdict::Changed(message) => format!("changed: {message}"),
            Verdict::Missing(message) => format!("missing: {message}"),
        })
        .collect();
        insta::assert_snapshot!(verdicts.join("\n"));
    }

    #[test]
    fn silence_is_told_as_silence() {
        let group = GroupName {
            namespace: "shop".to_owned(),
            callsign: "web".to_owned(),
        };
        let asker = Asker {
            group: &group,
            account: None,
        };
        let refused = Refused::NoAnswer("no answer within 50 ms".to_owned());
        let Verdict::Failure(failure) = judge(&refused, "deleting", &place(), asker) else {
            panic!("a failure");
        };
        assert_eq!(failure.reason, FailureReason::Away);
        assert!(failure.is_retryable());
        assert_eq!(
            failure.message,
            "deleting Deployment shop/web: the cluster's API server doesn't answer (no answer within 50 ms); it is tried again"
        );
    }
}
