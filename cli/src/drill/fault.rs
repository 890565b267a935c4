//! Breaking something. What was broken is made whole again by [`super::heal`], which needs not know what it was.

use super::fleet::Fleet;
use super::links;
use super::process::Signal;
use crate::error::Result;
use crate::options::{LinkMode, LinkName, Scenario};

/// The links that carry a cluster's way to the store and the others. What agents hear, they hear by these.
const ALL_WAYS: [&str; 3] = ["database", "peers", "store"];
/// The parts of a cluster, in the order in which they are killed.
const SERVERS: [&str; 6] = [
    "helium-agent",
    "helium-apiserver",
    "kine-shim",
    "controllers",
    "kube-apiserver",
    "host-store",
];

/// Breaks something, and returns when it is broken.
///
/// # Errors
/// Something couldn't be broken; what was until then is.
pub(crate) async fn strike(
    fleet: &Fleet,
    scenario: Scenario,
    cluster: &str,
    link: (&str, LinkMode),
) -> Result<()> {
    match scenario {
        Scenario::KillAgent => fleet.kill(&format!("{cluster}-helium-agent")).await,
        Scenario::PauseAgent => fleet.signal(&format!("{cluster}-helium-agent"), Signal::Stop),
        Scenario::KillApiserver => fleet.kill(&format!("{cluster}-helium-apiserver")).await,
        Scenario::KillShim => fleet.kill(&format!("{cluster}-kine-shim")).await,
        Scenario::RestartStore => fleet.kill("postgres").await,
        Scenario::KillCluster => {
            for part in SERVERS {
                fleet.kill(&format!("{cluster}-{part}")).await?;
            }
            Ok(())
        }
        Scenario::CutCluster => {
            for way in ALL_WAYS {
                cut(fleet, cluster, way, LinkMode::Drop).await?;
            }
            Ok(())
        }
        Scenario::CutOneWay => cut(fleet, cluster, link.0, link.1).await,
        Scenario::Random => Ok(()), // a plan names one
    }
}

async fn cut(fleet: &Fleet, cluster: &str, link: &str, mode: LinkMode) -> Result<()> {
    let link = LinkName {
        cluster: cluster.to_owned(),
        link: link.to_owned(),
    };
    links::set(fleet, &link, mode).await
}

/// Whether a scenario needs links that can be cut.
pub(crate) fn needs_links(scenario: Scenario) -> bool {
    matches!(
        scenario,
        Scenario::CutCluster | Scenario::CutOneWay | Scenario::Random
    )
}
