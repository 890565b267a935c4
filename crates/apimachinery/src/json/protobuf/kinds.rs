//! The fields of the kinds that are read: number on the wire, name, form.
//!
//! Kubernetes' `generated.proto` files tell them; a field that isn't here is passed over.

use super::{Fields, Shape};

pub(super) const TYPE_META: &Fields = &[(1, "apiVersion", Shape::Text), (2, "kind", Shape::Text)];

const OWNER: &Fields = &[
    (1, "kind", Shape::Text),
    (3, "name", Shape::Text),
    (4, "uid", Shape::Text),
    (5, "apiVersion", Shape::Text),
    (6, "controller", Shape::Flag),
    (7, "blockOwnerDeletion", Shape::Flag),
];

const MANAGED: &Fields = &[
    (1, "manager", Shape::Text),
    (2, "operation", Shape::Text),
    (3, "apiVersion", Shape::Text),
    (4, "time", Shape::Time),
    (6, "fieldsType", Shape::Text),
    (7, "fieldsV1", Shape::Raw),
    (8, "subresource", Shape::Text),
];

const METADATA: &Fields = &[
    (1, "name", Shape::Text),
    (2, "generateName", Shape::Text),
    (3, "namespace", Shape::Text),
    (4, "selfLink", Shape::Text),
    (5, "uid", Shape::Text),
    (6, "resourceVersion", Shape::Text),
    (7, "generation", Shape::Integer),
    (8, "creationTimestamp", Shape::Time),
    (9, "deletionTimestamp", Shape::Time),
    (10, "deletionGracePeriodSeconds", Shape::Integer),
    (11, "labels", Shape::TextMap),
    (12, "annotations", Shape::TextMap),
    (13, "ownerReferences", Shape::List(OWNER)),
    (14, "finalizers", Shape::TextList),
    (17, "managedFields", Shape::List(MANAGED)),
];

/// Without the status, which the server fills.
const NAMESPACE: &Fields = &[
    (1, "metadata", Shape::Message(METADATA)),
    (
        2,
        "spec",
        Shape::Message(&[(1, "finalizers", Shape::TextList)]),
    ),
];

const LEASE: &Fields = &[
    (1, "metadata", Shape::Message(METADATA)),
    (
        2,
        "spec",
        Shape::Message(&[
            (1, "holderIdentity", Shape::Text),
            (2, "leaseDurationSeconds", Shape::Integer),
            (3, "acquireTime", Shape::MicroTime),
            (4, "renewTime", Shape::MicroTime),
            (5, "leaseTransitions", Shape::Integer),
            (6, "strategy", Shape::Text),
            (7, "preferredHolder", Shape::Text),
        ]),
    ),
];

const DELETE_OPTIONS: &Fields = &[
    (1, "gracePeriodSeconds", Shape::Integer),
    (
        2,
        "preconditions",
        Shape::Message(&[(1, "uid", Shape::Text), (2, "resourceVersion", Shape::Text)]),
    ),
    (3, "orphanDependents", Shape::Flag),
    (4, "propagationPolicy", Shape::Text),
    (5, "dryRun", Shape::TextList),
];

const CANDIDATE: &Fields = &[
    (1, "metadata", Shape::Message(METADATA)),
    (
        2,
        "spec",
        Shape::Message(&[
            (1, "leaseName", Shape::Text),
            (2, "pingTime", Shape::MicroTime),
            (3, "renewTime", Shape::MicroTime),
            (4, "binaryVersion", Shape::Text),
            (5, "emulationVersion", Shape::Text),
            (6, "strategy", Shape::Text),
        ]),
    ),
];

const REFERENCE: &Fields = &[
    (1, "kind", Shape::Text),
    (2, "namespace", Shape::Text),
    (3, "name", Shape::Text),
    (4, "uid", Shape::Text),
    (5, "apiVersion", Shape::Text),
    (6, "resourceVersion", Shape::Text),
    (7, "fieldPath", Shape::Text),
];

const SERIES: &Fields = &[
    (1, "count", Shape::Integer),
    (2, "lastObservedTime", Shape::MicroTime),
];

const SOURCE: &Fields = &[(1, "component", Shape::Text), (2, "host", Shape::Text)];

const CORE_EVENT: &Fields = &[
    (1, "metadata", Shape::Message(METADATA)),
    (2, "involvedObject", Shape::Message(REFERENCE)),
    (3, "reason", Shape::Text),
    (4, "message", Shape::Text),
    (5, "source", Shape::Message(SOURCE)),
    (6, "firstTimestamp", Shape::Time),
    (7, "lastTimestamp", Shape::Time),
    (8, "count", Shape::Integer),
    (9, "type", Shape::Text),
    (10, "eventTime", Shape::MicroTime),
    (11, "series", Shape::Message(SERIES)),
    (12, "action", Shape::Text),
    (13, "related", Shape::Message(REFERENCE)),
    (14, "reportingComponent", Shape::Text),
    (15, "reportingInstance", Shape::Text),
];

const EVENT: &Fields = &[
    (1, "metadata", Shape::Message(METADATA)),
    (2, "eventTime", Shape::MicroTime),
    (3, "series", Shape::Message(SERIES)),
    (4, "reportingController", Shape::Text),
    (5, "reportingInstance", Shape::Text),
    (6, "action", Shape::Text),
    (7, "reason", Shape::Text),
    (8, "regarding", Shape::Message(REFERENCE)),
    (9, "related", Shape::Message(REFERENCE)),
    (10, "note", Shape::Text),
    (11, "type", Shape::Text),
    (12, "deprecatedSource", Shape::Message(SOURCE)),
    (13, "deprecatedFirstTimestamp", Shape::Time),
    (14, "deprecatedLastTimestamp", Shape::Time),
    (15, "deprecatedCount", Shape::Integer),
];

/// The fields of a kind, if it is read.
pub(super) fn fields(api_version: &str, kind: &str) -> Option<&'static Fields> {
    Some(match (api_version, kind) {
        (_, "Namespace") => NAMESPACE,
        (_, "Lease") => LEASE,
        (_, "LeaseCandidate") => CANDIDATE,
        (_, "DeleteOptions") => DELETE_OPTIONS,
        ("v1", "Event") => CORE_EVENT,
        ("events.k8s.io/v1", "Event") => EVENT,
        _ => return None,
    })
}
