//! The arrows between our crates point one way (ARCHITECTURE.md, "who may depend on whom").

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What each crate may use of ours at run time. A crate that isn't listed fails the test.
const ALLOWED: &[(&str, &[&str])] = &[
    ("helium-etcd-proto", &[]),
    ("helium-journal", &[]),
    ("helium-mvcc", &[]),
    ("helium-apimachinery", &[]),
    ("helium-failover", &[]),
    ("helium-telemetry", &[]),
    ("helium-tls", &[]),
    ("helium-testkit", &[]),
    ("kube-rs-candidate", &[]), // a user's program, of which the tests run three
    (
        "kine-shim",
        &[
            "helium-etcd-proto",
            "helium-journal",
            "helium-mvcc",
            "helium-telemetry",
            "helium-tls",
        ],
    ),
    (
        "helium-apiserver",
        &[
            "helium-etcd-proto",
            "helium-apimachinery",
            "helium-failover",
            "helium-telemetry",
            "helium-tls",
        ],
    ),
    (
        "helium-controllers",
        &[
            "helium-apimachinery",
            "helium-failover",
            "helium-telemetry",
            "helium-tls",
        ],
    ),
    (
        "helium-cli",
        &[
            "kine-shim",
            "helium-apiserver",
            "helium-failover",
            "helium-journal",
            "helium-telemetry",
            "helium-tls",
        ],
    ),
];

fn arrows() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned(), "--locked".to_owned()])
        .exec()
        .expect("cargo metadata");
    let ours: BTreeSet<String> = metadata
        .packages
        .iter()
        .map(|package| package.name.to_string())
        .collect();
    metadata
        .packages
        .iter()
        .map(|package| {
            let used = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .filter(|name| ours.contains(name))
                .collect();
            (package.name.to_string(), used)
        })
        .collect()
}

#[test]
fn arrows_between_crates_point_one_way() {
    let allowed: BTreeMap<&str, BTreeSet<&str>> = ALLOWED
        .iter()
        .map(|(name, uses)| (*name, uses.iter().copied().collect()))
        .collect();
    for (name, used) in arrows() {
        let may = allowed.get(name.as_str()).unwrap_or_else(|| {
            panic!("{name} isn't listed: say in ARCHITECTURE.md and here what it may use")
        });
        for other in used {
            assert!(
                may.contains(other.as_str()),
                "{name} may not depend on {other}"
            );
        }
    }
}

#[test]
fn every_crate_takes_versions_and_lints_from_the_workspace() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut checked = 0;
    for entry in [
        "cli",
        "apiserver",
        "controllers",
        "kine-shim",
        "tests/programs/kube-rs",
    ]
    .iter()
    .map(|name| root.join(name))
    .chain(
        std::fs::read_dir(root.join("crates"))
            .expect("crates")
            .map(|entry| entry.expect("an entry").path()),
    ) {
        let text = std::fs::read_to_string(entry.join("Cargo.toml")).expect("a manifest");
        assert!(
            text.contains("[lints]\nworkspace = true"),
            "{} lacks the shared lints",
            entry.display()
        );
        let dependencies = text.split("dependencies]").skip(1);
        for line in dependencies
            .flat_map(str::lines)
            .filter(|line| line.contains('='))
        {
            assert!(
                line.contains("workspace = true")
                    || line.trim_start().starts_with(['#', '"'])
                    || line.starts_with("name")
                    || line.starts_with("path")
                    || line.starts_with("harness"),
                "{}: {line:?} doesn't take its version from the workspace",
                entry.display()
            );
        }
        checked += 1;
    }
    assert!(checked >= 10, "only {checked} crates were found");
}
