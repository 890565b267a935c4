//! `helium leave`: a cluster goes, in order, so that neither it nor the others are worse off at any moment.
//!
//! 1. The agent stops: it would put back what is removed.
//! 2. APIServices and ClusterRoles that are Helium's go, but for the one through which the fleet is reached.
//! 3. The Member goes. The fleet's servers settle what the cluster leaves behind: its per-cluster objects, its entry in
//!    definitions, its heartbeat.
//! 4. The last APIService goes. What belongs to nobody but the cluster stays: its namespace `helium-system` with its pods
//!    and Secrets is removed with what installed it.
//!
//! Whatever isn't labelled as Helium's is not touched. Shared objects stay in the fleet.

use std::time::Duration;

use http::Method;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{api, database};
use crate::connection::{Connection, Refusal};
use crate::error::{Error, Result};
use crate::options::LeaveOptions;
use crate::table;

/// The registration through which the fleet is reached.
const LAST: &str = "v1.helium.dev";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
/// What the agent writes carries this.
const OURS: &str = "?labelSelector=app.kubernetes.io%2Fmanaged-by%3Dhelium";
const AGENT: &str = "/apis/apps/v1/namespaces/helium-system/deployments/helium-agent";
const NAME: &str = "/api/v1/namespaces/helium-system/configmaps/helium-cluster";
/// The agent's role for who administers the fleet.
const FLEET_ADMIN: &str = "helium-fleet-admin";
/// How long something may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(60);
/// A cluster that was heard of more recently isn't dead.
const ALIVE: SignedDuration = SignedDuration::from_secs(60);
/// An agent that runs has renewed more recently than that.
const BEATS: SignedDuration = SignedDuration::from_secs(15);
/// An agent that runs puts back what was removed within that time.
const PUT_BACK_WITHIN: Duration = Duration::from_secs(2);

/// Takes this cluster out, or settles a dead one.
pub(crate) async fn run(options: LeaveOptions) -> Result<()> {
    let LeaveOptions {
        dead,
        force,
        database_url,
        access,
    } = options;
    let connection = Connection::open(&access).await?;
    let (cluster, mut text) = match dead {
        Some(dead) => settle(&connection, dead.as_str(), force).await?,
        None => depart(&connection).await?,
    };
    if let Some(url) = database_url {
        database::drop_role(&url, &cluster).await?;
        text += &format!("removed the database role of {cluster}\n");
    }
    table::print(&text);
    Ok(())
}

/// A cluster that won't come back.
async fn settle(connection: &Connection, dead: &str, force: bool) -> Result<(String, String)> {
    let own = api::own_name(connection).await?;
    if own == dead {
        return Err(Error::OwnCluster { cluster: own });
    }
    let done = |text: String| Ok((dead.to_owned(), text));
    if api::member(connection, dead).await?.is_none() {
        return done(format!("there is no member {dead}\n"));
    }
    let heard = heartbeat(connection, dead).await;
    if let Some(heard) = heard
        && !force
        && Timestamp::now().duration_since(heard) < ALIVE
    {
        return Err(Error::Alive {
            cluster: dead.to_owned(),
            heard,
        });
    }
    api::member_delete(connection, dead)
        .await
        .map_err(api::refused(format!("removing member {dead}")))?;
    await_gone(connection, dead).await?;
    done(format!(
        "{dead} is no member any more: its objects, its reports and its heartbeat are settled\n"
    ))
}

/// This cluster.
async fn depart(connection: &Connection) -> Result<(String, String)> {
    let registered = api::found(connection.get(&format!("{API_SERVICES}/{LAST}")).await)
        .map_err(api::refused("reading the APIServices"))?
        .is_some();
    let (cluster, is_member) = name(connection, registered).await?;
    let mut text = String::new();
    if stop_agent(connection).await? {
        text += "stopped helium-agent\n";
    } else if let Some(heard) = heartbeat(connection, &cluster).await
        && Timestamp::now().duration_since(heard) < BEATS
    {
        return Err(Error::AgentRuns { cluster });
    }
    let mut removed = Vec::new();
    for service in ours(connection, API_SERVICES).await? {
        if service != LAST {
            remove(connection, API_SERVICES, &service).await?;
            removed.push(format!("APIService {service}"));
        }
    }
    for role in ours(connection, ROLES).await? {
        // Its own installation's roles may carry the label too.
        let of_group = role.starts_with("helium:") && role.matches(':').count() == 2;
        if of_group || role == FLEET_ADMIN {
            remove(connection, ROLES, &role).await?;
            removed.push(format!("ClusterRole {role}"));
        }
    }
    if is_member {
        match api::member_delete(connection, &cluster).await {
            Ok(true) => {
                await_gone(connection, &cluster).await?;
                text += &format!("{cluster} is no member any more\n");
            }
            Ok(false) => text += &format!("{cluster} was no member\n"),
            Err(refusal) => {
                return Err(api::refused(format!("removing member {cluster}"))(refusal));
            }
        }
    } else if registered {
        text += &format!(
            "{cluster} is shut out of the fleet, so that it can't remove its own Member: helium leave --dead {cluster}, in another cluster\n"
        );
    } else {
        text += "the fleet isn't registered here (any more), so nothing was changed in it: helium members, in another cluster, shows what is left\n";
    }
    for service in ours(connection, API_SERVICES).await? {
        remove(connection, API_SERVICES, &service).await?;
        removed.push(format!("APIService {service}"));
    }
    tokio::time::sleep(PUT_BACK_WITHIN).await;
    if !ours(connection, API_SERVICES).await?.is_empty() {
        return Err(Error::AgentRuns { cluster });
    }
    for what in &removed {
        text += &format!("removed {what}\n");
    }
    text += "\nThe shared objects stay in the fleet. What is left here: kubectl delete -k … (docs/install.md)\n";
    Ok((cluster, text))
}

/// The cluster's name, and whether the fleet still listens to it.
async fn name(connection: &Connection, registered: bool) -> Result<(String, bool)> {
    let refusal = if registered {
        match api::own_name(connection).await {
            Ok(name) => return Ok((name, true)),
            Err(Error::Refused { source, .. }) if is_shut_out(&source) => Some(source),
            Err(error) => return Err(error),
        }
    } else {
        None
    };
    let told = api::found(connection.get(NAME).await)
        .map_err(api::refused("reading ConfigMap helium-cluster"))?;
    let told = told.and_then(|told| told.json()["data"]["name"].as_str().map(str::to_owned));
    // "cluster <name> was revoked"
    let said = refusal.and_then(|refusal| {
        let mut words = refusal.message().split_whitespace();
        words.find(|word| *word == "cluster")?;
        words.next().map(str::to_owned)
    });
    Ok((
        told.or(said).unwrap_or_else(|| "this cluster".to_owned()),
        false,
    ))
}

fn is_shut_out(refusal: &Refusal) -> bool {
    let message = refusal.message();
    refusal.code() == Some(403)
        && [
            "was revoked",
            "is not a member",
            "is leaving",
            "doesn't accept cluster",
        ]
        .iter()
        .any(|part| message.contains(part))
}

async fn heartbeat(connection: &Connection, cluster: &str) -> Option<Timestamp> {
    let all = api::heartbeats(connection).await.unwrap_or_default();
    let mut all = all.into_iter();
    all.find(|(name, _)| name == cluster)
        .map(|(_, heard)| heard)
}

/// Waits until the fleet has settled what a member leaves behind.
async fn await_gone(connection: &Connection, cluster: &str) -> Result<()> {
    let gone = api::wait_for(GONE_WITHIN, || async {
        match api::member(connection, cluster).await {
            Ok(None) => Ok(Some(())),
            Ok(Some(_)) => Ok(None),
            // Its own server doesn't listen to it any more.
            Err(Error::Refused { source, .. }) if is_shut_out(&source) => {
                Ok((!source.message().contains("is leaving")).then_some(()))
            }
            Err(error) => Err(error),
        }
    })
    .await?;
    gone.ok_or_else(|| Error::NotSettled {
        what: format!("member {cluster}"),
        seconds: GONE_WITHIN.as_secs(),
    })
}

/// Whether there is an agent's Deployment; it has no pods any more then.
async fn stop_agent(connection: &Connection) -> Result<bool> {
    let there =
        api::found(connection.get(AGENT).await).map_err(api::refused("reading helium-agent"))?;
    if there.is_none() {
        return Ok(false);
    }
    let none = json!({"spec": {"replicas": 0}});
    connection
        .write(
            Method::PATCH,
            &format!("{AGENT}/scale"),
            "application/merge-patch+json",
            &none,
        )
        .await
        .map_err(api::refused("stopping helium-agent"))?;
    let stopped = api::wait_for(GONE_WITHIN, || async {
        let agent = connection.get(AGENT).await;
        let agent = agent.map_err(api::refused("reading helium-agent"))?.json();
        Ok((agent["status"]["replicas"].as_u64().unwrap_or(0) == 0).then_some(()))
    })
    .await?;
    stopped.map(|()| true).ok_or_else(|| Error::NotSettled {
        what: "helium-agent's pods".to_owned(),
        seconds: GONE_WITHIN.as_secs(),
    })
}

/// Names of objects of a kind that carry Helium's label.
async fn ours(connection: &Connection, kind: &str) -> Result<Vec<String>> {
    let answer = connection.get(&format!("{kind}{OURS}")).await;
    let list: Value = answer
        .map_err(api::refused("looking for what is Helium's"))?
        .json();
    let items = list["items"].as_array();
    let names = items
        .into_iter()
        .flatten()
        .filter_map(|item| item["metadata"]["name"].as_str().map(str::to_owned));
    Ok(names.collect())
}

async fn remove(connection: &Connection, kind: &str, name: &str) -> Result<()> {
    let path = format!("{kind}/{name}");
    api::found(connection.delete(&path).await)
        .map(drop)
        .map_err(api::refused(format!("removing {name}")))
}
