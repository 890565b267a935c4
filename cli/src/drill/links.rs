//! The links of a fleet, told by way of each cluster's relay.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fleet::Fleet;
use super::relay::control;
use crate::error::{DrillError, Result};
use crate::options::{LinkMode, LinkName};

/// What a cluster's links carry.
///
/// # Errors
/// The cluster has no relay, or it doesn't answer.
pub(crate) async fn list(fleet: &Fleet, cluster: &str) -> Result<BTreeMap<String, LinkMode>> {
    let socket = socket(fleet, cluster)?;
    let answer = control::ask(&socket, "list").await;
    answer.map_err(|reason| {
        DrillError::Relay {
            cluster: cluster.to_owned(),
            reason,
        }
        .into()
    })
}

/// Sets what a link carries.
///
/// # Errors
/// There is no such link, or its relay doesn't answer.
pub(crate) async fn set(fleet: &Fleet, link: &LinkName, mode: LinkMode) -> Result<()> {
    let socket = socket(fleet, &link.cluster)?;
    let order = format!("set {} {}", link.link, mode.as_str());
    match control::ask(&socket, &order).await {
        Ok(_links) => Ok(()),
        Err(reason) => Err(DrillError::Link {
            link: link.clone(),
            mode,
            reason,
        }
        .into()),
    }
}

/// Lets everything through, and returns the links that hadn't carried everything. The relay may have been started just now.
///
/// # Errors
/// It doesn't answer in time.
pub(crate) async fn open_all(
    fleet: &Fleet,
    cluster: &str,
    bound: Duration,
) -> Result<Vec<LinkName>> {
    let until = tokio::time::Instant::now() + bound;
    let modes = loop {
        match list(fleet, cluster).await {
            Ok(modes) => break modes,
            Err(error) if tokio::time::Instant::now() >= until => return Err(error),
            Err(_starting) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let mut opened = Vec::new();
    for (link, mode) in modes {
        if mode != LinkMode::Pass {
            let link = LinkName {
                cluster: cluster.to_owned(),
                link,
            };
            set(fleet, &link, LinkMode::Pass).await?;
            opened.push(link);
        }
    }
    Ok(opened)
}

fn socket(fleet: &Fleet, cluster: &str) -> Result<std::path::PathBuf> {
    fleet.relay(cluster).ok_or_else(|| {
        DrillError::NoLinks {
            cluster: cluster.to_owned(),
            socket: fleet.relay_socket(cluster),
        }
        .into()
    })
}
