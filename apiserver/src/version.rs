//! `/version`: what clients take us for.
//!
//! Clients parse the numbers to find out what a Kubernetes API can do, so these name the release whose
//! contract we follow; the rest of the version names us.

use serde_json::{Value, json};

/// The Kubernetes release whose API contract is followed.
const MAJOR: &str = "1";
const MINOR: &str = "36";
const PATCH: &str = "3";

/// The version document.
#[must_use]
pub fn document() -> Value {
    json!({
        "major": MAJOR,
        "minor": MINOR,
        "gitVersion": git_version(),
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "",
        "compiler": "rustc",
        "platform": format!("{}/{}", std::env::consts::OS, platform()),
    })
}

/// A semantic version: the followed release, with ours as build metadata.
#[must_use]
pub fn git_version() -> String {
    format!(
        "v{MAJOR}.{MINOR}.{PATCH}+helium.{}",
        env!("CARGO_PKG_VERSION")
    )
}

/// Architecture names as Go spells them, because clients compare them.
fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
