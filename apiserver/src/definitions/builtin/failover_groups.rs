//! `FailoverGroup`: the MultiClusters of one callsign in all clusters, and which of them leads.
//!
//! Its spec is people's; each cluster says of itself what it is in `status.members`; who leads stands there by the server's
//! hand, written in the transaction of the term ([`crate::failover`]).

use helium_apimachinery::builtin::{column, conditions, text, version};
use helium_apimachinery::crd::{Definition, Names};
use helium_apimachinery::field::ErrorList;
use helium_apimachinery::resource::Scope;
use helium_failover::kind::{FAILOVER_GROUP_KIND, FAILOVER_GROUPS, GroupSpec, HISTORY};
use serde_json::{Value, json};

use super::HELIUM_GROUP;

/// The kind.
pub(super) fn failover_groups() -> Result<Definition, ErrorList> {
    let raw = json!({
        "type": "object",
        "description": "FailoverGroup is what the MultiClusters of one callsign in all clusters are together: one of them leads. Its name \
            is the callsign.",
        "properties": {"spec": spec(), "status": status()},
    });
    let mut v1 = version("v1", raw, true)?;
    v1.columns = vec![
        column("Leader", "string", ".status.leader", "Which cluster leads"),
        column(
            "Address",
            "string",
            ".status.leaderAddress",
            "Where it is reached",
        ),
        column(
            "Token",
            "integer",
            ".status.token",
            "Fencing token of its term",
        ),
        column(
            "Mode",
            "string",
            ".spec.mode",
            "How exclusive the payload is",
        ),
        column(
            "Paused",
            "boolean",
            ".spec.paused",
            "Whether nobody begins to lead",
        ),
        column(
            "Since",
            "date",
            ".status.since",
            "How long the cluster has led, or nobody has",
        ),
        column("Age", "date", ".metadata.creationTimestamp", ""),
    ];
    Ok(Definition {
        group: HELIUM_GROUP.to_owned(),
        names: Names {
            plural: FAILOVER_GROUPS.to_owned(),
            singular: "failovergroup".to_owned(),
            short_names: vec!["fog".to_owned()],
            kind: FAILOVER_GROUP_KIND.to_owned(),
            list_kind: "FailoverGroupList".to_owned(),
            categories: Vec::new(),
        },
        scope: Scope::Namespaced,
        versions: vec![v1],
    })
}

fn spec() -> Value {
    let default = GroupSpec::default();
    json!({
        "type": "object",
        "description": "How the group fails over. It holds for the terms that begin after it was written.",
        "default": {},
        "properties": {
            "mode": {
                "type": "string",
                "enum": ["Fast", "Strict"],
                "default": "Fast",
                "description": "Fast: leading and fenced writes are exclusive; pods of a predecessor that is cut off may still be ending. \
                    Strict: pods too; a successor waits until the predecessor's are known to be gone.",
            },
            "leaseDurationSeconds": {
                "type": "integer",
                "format": "int32",
                "minimum": 1,
                "maximum": 3600,
                "default": default.lease_duration_seconds,
                "description": "For how long a leader's word holds: another takes over when it was silent for so long.",
            },
            "stopBudgetSeconds": {
                "type": "integer",
                "format": "int32",
                "minimum": 0,
                "maximum": 3600,
                "default": default.stop_budget_seconds,
                "description": "How long stopping the payload may take: a leader that can't renew begins to stop so much before its word ends.",
            },
            "paused": {
                "type": "boolean",
                "default": default.paused,
                "description": "Nobody begins to lead and nobody hands over; who leads goes on.",
            },
            "preferredCluster": text("The cluster that leads while it can, whatever the ranks."),
            "deadManSwitch": {
                "type": "string",
                "enum": ["None", "Probe"],
                "default": "None",
                "description": "What stops a payload whose agent can't, in strict mode. Probe: a watchdog in the payload's pods, and a \
                    liveness probe that asks it.",
            },
            "force": {
                "type": "object",
                "description": "A person's word that terms are over, whatever is known of them.",
                "required": ["token", "cluster"],
                "properties": {
                    "token": {
                        "type": "integer",
                        "format": "int64",
                        "minimum": 0,
                        "description": "The last of those terms.",
                    },
                    "cluster": text("The cluster that leads next."),
                },
            },
        },
    })
}

fn status() -> Value {
    json!({
        "type": "object",
        "description": "Who leads, written by the server with the term, and what each cluster says of itself.",
        "properties": {
            "leader": text("The cluster that leads."),
            "leaderAddress": text("Where its payload is reached."),
            "token": token("Fencing token of its term; the last one's, if nobody leads."),
            "since": time("Since when it leads, or nobody does, by the server's clock."),
            "reason": text("Why: one word."),
            "members": {
                "type": "array",
                "description": "What each cluster with a MultiCluster of this callsign says of itself; nobody else writes its entry.",
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["cluster"],
                "items": member(),
            },
            "history": {
                "type": "array",
                "description": format!("The last {HISTORY} terms, the newest first."),
                "items": term(),
            },
            "conditions": conditions("What else there is to know."),
        },
    })
}

fn member() -> Value {
    json!({
        "type": "object",
        "required": ["cluster"],
        "properties": {
            "cluster": text("Its name."),
            "rank": {"type": "integer", "format": "int64", "description": "The highest leads."},
            "ready": {"type": "boolean", "description": "Whether it may lead."},
            "address": text("Where its payload is reached while it leads."),
            "state": text("Standby, Candidate, Elected, Starting, Leading, Draining or Isolated."),
            "reason": text("One word that says why."),
            "message": text("Why, for people."),
            "since": time("When it came into that state, by its own clock."),
            "joined": time("When it became a member, by its own clock; of equal ranks the older leads."),
            "standsFor": token("The term that it would succeed at once, when it was asked whether it could lead."),
            "stopped": token("Every term of its own up to this one is over, and its payload gone."),
            "payloadHash": text("Identifies its payload: members of one group should agree."),
        },
    })
}

fn term() -> Value {
    json!({
        "type": "object",
        "required": ["cluster"],
        "properties": {
            "token": token("Its fencing token."),
            "cluster": text("Who led."),
            "address": text("Where its payload was reached."),
            "began": time("When it began, by the server's clock."),
            "reason": text("Why it began: one word."),
            "ended": time("When it was given up or taken away, by the server's clock."),
            "endReason": text("Why it ended: one word."),
        },
    })
}

fn token(description: &str) -> Value {
    json!({"type": "integer", "format": "int64", "description": description})
}

fn time(description: &str) -> Value {
    json!({"type": "string", "format": "date-time", "description": description})
}

#[cfg(test)]
mod tests {
    use helium_failover::kind::{GroupStatus, MemberEntry, TermEntry};
    use helium_failover::{ClusterName, Token};

    use super::*;

    #[test]
    fn the_schema_has_every_field_of_the_vocabulary_and_its_defaults() {
        let definition = failover_groups().unwrap();
        let schema = &definition.storage_version().schema;
        let status = GroupStatus {
            leader: Some(ClusterName("c1".to_owned())),
            leader_address: Some("192.0.2.1".to_owned()),
            token: Some(Token(7)),
            since: Some("2026-01-01T00:00:00Z".to_owned()),
            reason: Some("Free".to_owned()),
            members: vec![MemberEntry {
                cluster: ClusterName("c1".to_owned()),
                rank: 5,
                ready: true,
                address: Some("192.0.2.1".to_owned()),
                state: "Leading".to_owned(),
                reason: "Applied".to_owned(),
                message: "it leads".to_owned(),
                since: Some("2026-01-01T00:00:00Z".to_owned()),
                joined: Some("2026-01-01T00:00:00Z".to_owned()),
                stands_for: Some(Token(6)),
                stopped: Some(Token(5)),
                payload_hash: Some("abc".to_owned()),
            }],
            history: vec![TermEntry {
                token: Some(Token(7)),
                cluster: ClusterName("c1".to_owned()),
                address: Some("192.0.2.1".to_owned()),
                began: "2026-01-01T00:00:00Z".to_owned(),
                reason: "Free".to_owned(),
                ended: Some("2026-01-01T00:00:00Z".to_owned()),
                end_reason: "Stopped".to_owned(),
            }],
            conditions: Vec::new(),
        };
        let mut object = json!({
            "apiVersion": "helium.dev/v1", "kind": FAILOVER_GROUP_KIND, "metadata": {"name": "a"},
            "spec": {"preferredCluster": "c1", "force": {"token": 7, "cluster": "c2"}},
            "status": serde_json::to_value(status).unwrap(),
        });
        assert_eq!(schema.prune(&mut object), [""; 0]);
        assert_eq!(schema.validate(&object, None).to_string(), "[]");
        object["spec"] = Value::Null;
        schema.default(&mut object);
        let spec: GroupSpec = serde_json::from_value(object["spec"].clone()).unwrap();
        assert_eq!(spec, GroupSpec::default());
        assert_eq!(
            object["spec"]["stopBudgetSeconds"], 5,
            "and all are written out"
        );
    }
}
