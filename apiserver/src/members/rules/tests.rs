//! Who may write what, case by case.

use helium_tls::pki::Authority;

use super::*;

struct Fleet {
    one: Authority,
    two: Authority,
}

impl Fleet {
    fn new() -> Self {
        Self {
            one: Authority::new("one").unwrap(),
            two: Authority::new("two").unwrap(),
        }
    }

    /// c1 and c2 with their authorities.
    fn closed(&self) -> [Object; 2] {
        [
            member(
                "c1",
                json!({"certificateAuthorities": self.one.certificate_pem()}),
            ),
            member(
                "c2",
                json!({"certificateAuthorities": self.two.certificate_pem()}),
            ),
        ]
    }
}

fn member(name: &str, spec: Value) -> Object {
    Object::try_from(json!({"metadata": {"name": name}, "spec": spec})).unwrap()
}

fn judge(
    through: &str,
    fleet: &[Object],
    new: &Object,
    old: Option<&Object>,
) -> std::result::Result<Admitted, String> {
    judge_as(true, through, fleet, new, old)
}

fn judge_as(
    administers: bool,
    through: &str,
    fleet: &[Object],
    new: &Object,
    old: Option<&Object>,
) -> std::result::Result<Admitted, String> {
    let roster = Roster::new(fleet, 7);
    let origin = Origin {
        cluster: through,
        administers,
        roster: &roster,
    };
    admit(&mut new.clone(), old, origin).map_err(|errors| errors.to_string())
}

#[track_caller]
fn refused(outcome: std::result::Result<Admitted, String>, texts: &[&str]) {
    let message = outcome.unwrap_err();
    for text in texts {
        assert!(message.contains(text), "{message}");
    }
}

#[test]
fn every_member_has_the_finalizer_until_it_leaves() {
    let roster = Roster::new([], 1);
    let origin = Origin {
        cluster: "c1",
        administers: false,
        roster: &roster,
    };
    let mut object = member("c1", json!({}));
    admit(&mut object, None, origin).unwrap();
    assert_eq!(object.finalizers(), [FINALIZER]);
    let mut leaving = member("c1", json!({}));
    leaving.set_meta("deletionTimestamp", "2026-01-01T00:00:00Z");
    admit(&mut leaving, Some(&object), origin).unwrap();
    assert!(leaving.finalizers().is_empty());
}

#[test]
fn names_are_labels() {
    refused(
        judge("c1", &[], &member("c.1", json!({})), None),
        &["metadata.name", "must not contain dots"],
    );
}

#[test]
fn the_first_authority_is_the_writers_own() {
    let fleet = Fleet::new();
    let spec = json!({"certificateAuthorities": fleet.one.certificate_pem()});
    let object = member("c1", spec);
    assert!(judge("c1", &[], &object, None).unwrap().trust_changed);
    refused(
        judge("c2", &[], &object, None),
        &[
            "spec.certificateAuthorities",
            "would shut out everybody else, cluster c2 included",
        ],
    );
}

#[test]
fn authorities_once_set_are_the_clusters_own_business() {
    let fleet = Fleet::new();
    let all = fleet.closed();
    let next = Authority::new("next").unwrap();
    let both = format!("{}{}", fleet.two.certificate_pem(), next.certificate_pem());
    let rotated = member("c2", json!({"certificateAuthorities": both}));
    assert!(
        judge("c2", &all, &rotated, Some(&all[1]))
            .unwrap()
            .trust_changed
    );
    refused(
        judge("c1", &all, &rotated, Some(&all[1])),
        &["only cluster c2 itself changes its authorities, and this is cluster c1"],
    );
    let emptied = member("c2", json!({}));
    refused(
        judge("c2", &all, &emptied, Some(&all[1])),
        &["keeps at least one authority"],
    );
    // A third cluster may be admitted by any of them, with authorities of its own.
    let third = member(
        "c3",
        json!({"certificateAuthorities": next.certificate_pem()}),
    );
    judge("c1", &all, &third, None).unwrap();
    refused(
        judge("c9", &all, &third, None),
        &["only members admit others, and cluster c9 is none"],
    );
    let copied = member(
        "c3",
        json!({"certificateAuthorities": fleet.two.certificate_pem()}),
    );
    refused(
        judge("c1", &all, &copied, None),
        &["the authority CN=two is member c2's already"],
    );
    let broken = member("c3", json!({"certificateAuthorities": "PEM"}));
    refused(
        judge("c1", &all, &broken, None),
        &[
            "spec.certificateAuthorities: Invalid value",
            "not a list of certificates in PEM",
        ],
    );
}

#[test]
fn only_others_revoke_and_take_it_back() {
    let fleet = Fleet::new();
    let all = fleet.closed();
    let revoked = |reason: &str| {
        let mut object = all[1].clone();
        object.with_value_mut(|value| {
            value["spec"]["revoked"] = true.into();
            value["spec"]["revokedReason"] = reason.into();
        });
        object
    };
    let stolen = revoked("stolen");
    judge("c1", &all, &stolen, Some(&all[1])).unwrap();
    refused(
        judge("c2", &all, &stolen, Some(&all[1])),
        &["doesn't shut itself out"],
    );
    refused(
        judge("c3", &all, &stolen, Some(&all[1])),
        &["only members revoke, and cluster c3 is none"],
    );
    let after = [all[0].clone(), stolen.clone()];
    refused(
        judge("c2", &after, &all[1], Some(&stolen)),
        &["only another member changes or takes back a revocation"],
    );
    refused(
        judge("c2", &after, &revoked("a mistake"), Some(&stolen)),
        &["spec.revokedReason", "only another member"],
    );
    judge("c1", &after, &revoked("a mistake"), Some(&stolen)).unwrap();
    judge("c1", &after, &all[1], Some(&stolen)).unwrap();
}

#[test]
fn labels_are_the_clusters_own() {
    let old = member("c2", json!({}));
    let mut new = old.clone();
    new.set_meta("labels", json!({"region": "eu"}));
    judge("c2", &[], &new, Some(&old)).unwrap();
    refused(judge("c1", &[], &new, Some(&old)), &["metadata.labels"]);
    refused(judge("c1", &[], &new, None), &["metadata.labels"]);
}

#[test]
fn others_may_only_say_that_the_heart_stopped() {
    let with = |status: Value| {
        let mut object = member("c2", json!({}));
        object.set("status", status);
        object
    };
    let ready = |status: &str| json!({"type": "Ready", "status": status});
    let stored = json!({"type": "StoreReachable", "status": "True"});
    let old = with(json!({"heartbeat": "a/b", "conditions": [ready("True"), stored]}));
    let missed = with(json!({"heartbeat": "a/b", "conditions": [stored, ready("Unknown")]}));
    judge("c1", &[], &missed, Some(&old)).unwrap();
    judge("c2", &[], &with(json!({})), Some(&old)).unwrap();
    let cases = [
        json!({"heartbeat": "a/b", "conditions": [ready("False"), stored]}),
        json!({"heartbeat": "a/b", "conditions": [ready("Unknown")]}),
        json!({"heartbeat": "x/y", "conditions": [ready("Unknown"), stored]}),
        json!({}),
    ];
    for status in cases {
        refused(
            judge("c1", &[], &with(status), Some(&old)),
            &["status: Forbidden"],
        );
    }
    // Of a cluster that never reported anything it may be said too.
    let silent = member("c2", json!({}));
    let unknown = with(json!({"conditions": [ready("Unknown")]}));
    judge("c1", &[], &unknown, Some(&silent)).unwrap();
}

#[test]
fn who_keeps_a_member_can_neither_let_clusters_in_nor_shut_them_out() {
    let fleet = Fleet::new();
    let all = fleet.closed();
    let next = Authority::new("next").unwrap();
    let third = json!({"certificateAuthorities": next.certificate_pem()});
    refused(
        judge_as(false, "c1", &all, &member("c3", third), None),
        &[
            "spec.certificateAuthorities",
            "the verb administer on members",
        ],
    );
    let mut revoked = all[1].clone();
    revoked.with_value_mut(|value| value["spec"]["revoked"] = true.into());
    refused(
        judge_as(false, "c1", &all, &revoked, Some(&all[1])),
        &["spec.revoked", "the verb administer on members"],
    );
    judge("c1", &all, &revoked, Some(&all[1])).unwrap();
    refused(
        judge_as(false, "c1", &all, &all[1], Some(&revoked)),
        &["spec.revoked", "the verb administer on members"],
    );
    // Its own member it keeps.
    let both = format!("{}{}", fleet.two.certificate_pem(), next.certificate_pem());
    let rotated = member("c2", json!({"certificateAuthorities": both}));
    judge_as(false, "c2", &all, &rotated, Some(&all[1])).unwrap();
}
