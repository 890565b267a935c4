//! `helium failover handover`: another cluster leads, in order.
//!
//! What is written is a wish, `spec.preferredCluster`. It outlives the hand-over: forgotten at once, a member of higher rank would take the payload
//! back within a second. So it is kept where that would happen, and else forgotten; `--keep` and `--and-back` decide otherwise.

use helium_failover::ClusterName;
use serde_json::json;

use super::api::{Asked, Group};
use super::view::{before, leads, member};
use super::wait::{Ended, standing, until_leads};
use crate::error::{Error, Result};
use crate::options::HandoverOptions;
use crate::table;

/// What becomes of the wish once it is fulfilled.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Afterwards {
    /// It stays.
    Keep,
    /// It goes.
    Forget,
}

/// Hands over.
pub(super) async fn run(options: HandoverOptions) -> Result<()> {
    let HandoverOptions {
        group,
        to,
        undo,
        wait,
        keep,
        and_back,
    } = options;
    let asked = Asked::open(group).await?;
    let group = asked.group().await?;
    let Some(to) = to.filter(|_| !undo) else {
        return forget(&asked, &group).await;
    };
    let cluster = ClusterName(to.to_string());
    check(&group, &cluster)?;
    let afterwards = afterwards(&group, &cluster, keep, and_back);
    eprint!("{}", announcement(&group, &cluster, &afterwards));
    let name = &asked.name;
    let wish = json!({"preferredCluster": cluster});
    asked.change("changing", wish, None).await?;
    let ended = until_leads(&asked, &cluster, wait).await;
    let called_off = async |why: Error| match asked.forget(&cluster).await {
        Ok(_) => why,
        Err(error) => {
            eprintln!(
                "the wish could not be withdrawn: {}; helium failover handover {name} --undo",
                helium_telemetry::Chain(&error)
            );
            why
        }
    };
    let (took, group) = match ended {
        Ok(Ended::Leads(took, group)) => (took, group),
        Ok(Ended::TooLong(group)) => {
            return Err(called_off(Error::NotLeading {
                group: name.to_string(),
                cluster: cluster.to_string(),
                seconds: wait.as_secs(),
                standing: standing(&group, &cluster),
            })
            .await);
        }
        Ok(Ended::Interrupted) => {
            return Err(called_off(Error::NotLeading {
                group: name.to_string(),
                cluster: cluster.to_string(),
                seconds: 0,
                standing: "it was called off".to_owned(),
            })
            .await);
        }
        Err(error) => return Err(called_off(error).await),
    };
    let token = group
        .status
        .token
        .map(|token| format!(" with token {token}"));
    table::print(&format!(
        "✓ {cluster} leads {name}{} (after {:.1} s)\n",
        token.unwrap_or_default(),
        took.as_secs_f64()
    ));
    match afterwards {
        Afterwards::Keep => table::print(&format!(
            "  it is preferred from now on, whatever the ranks\n    end    helium failover handover {name} --undo\n"
        )),
        Afterwards::Forget => {
            asked.forget(&cluster).await?;
            if let Some(better) = before(&group, &cluster) {
                table::print(&format!(
                    "! {} has rank {} and takes it back now\n",
                    better.cluster, better.rank
                ));
            }
        }
    }
    Ok(())
}

/// Whether a hand-over can work at all.
fn check(group: &Group, cluster: &ClusterName) -> Result<()> {
    let name = group.name.to_string();
    let Some(one) = member(group, cluster) else {
        let members = group.status.members.iter();
        return Err(Error::NoGroupMember {
            group: name,
            cluster: cluster.to_string(),
            members: members.map(|one| one.cluster.to_string()).collect(),
        });
    };
    if group.spec.paused {
        return Err(Error::GroupPaused { group: name });
    }
    if !one.ready {
        let words = [one.reason.as_str(), one.message.as_str()];
        let why: Vec<&str> = words.into_iter().filter(|why| !why.is_empty()).collect();
        return Err(Error::MemberNotReady {
            group: name,
            cluster: cluster.to_string(),
            why: why.join(": "),
        });
    }
    Ok(())
}

fn afterwards(group: &Group, cluster: &ClusterName, keep: bool, and_back: bool) -> Afterwards {
    if keep || (!and_back && before(group, cluster).is_some()) {
        Afterwards::Keep
    } else {
        Afterwards::Forget
    }
}

/// What will be, said beforehand.
fn announcement(group: &Group, cluster: &ClusterName, afterwards: &Afterwards) -> String {
    let mut text = match &group.status.leader {
        Some(_) if leads(group, cluster) => format!("{cluster} leads already\n"),
        Some(leader) if leader != cluster => format!("{leader} hands over to {cluster}\n"),
        _ => format!("{cluster} is to lead\n"),
    };
    if let Some(better) = before(group, cluster) {
        let what = match afterwards {
            Afterwards::Keep => "so this wish stays until you undo it (--and-back forgets it)",
            Afterwards::Forget => "and takes it back afterwards (--keep prevents that)",
        };
        text.push_str(&format!(
            "{} has a prior claim (rank {}), {what}\n",
            better.cluster, better.rank
        ));
    }
    text
}

/// Who leads is decided by rank again.
async fn forget(asked: &Asked, group: &Group) -> Result<()> {
    let name = &asked.name;
    let Some(cluster) = &group.spec.preferred_cluster else {
        table::print(&format!("✓ nobody was preferred in {name}\n"));
        return Ok(());
    };
    asked.forget(cluster).await?;
    table::print(&format!(
        "✓ {cluster} isn't preferred in {name} any more: the highest rank that can leads\n"
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use helium_failover::GroupName;
    use helium_failover::kind::{GroupSpec, GroupStatus, MemberEntry};

    use super::*;

    fn named(name: &str) -> ClusterName {
        ClusterName(name.to_owned())
    }

    fn group() -> Group {
        let one = |name: &str, rank, ready| MemberEntry {
            cluster: named(name),
            rank,
            ready,
            state: "Candidate".to_owned(),
            ..MemberEntry::default()
        };
        Group {
            name: GroupName {
                namespace: "shop".to_owned(),
                callsign: "one".to_owned(),
            },
            version: String::new(),
            spec: GroupSpec::default(),
            status: GroupStatus {
                leader: Some(named("sheffield")),
                members: vec![
                    one("newyork", 5, true),
                    one("sheffield", 10, true),
                    one("oslo", 20, false),
                ],
                ..GroupStatus::default()
            },
        }
    }

    #[test]
    fn a_wish_stays_where_a_higher_rank_would_take_the_payload_back() {
        let group = group();
        let (low, high) = (named("newyork"), named("sheffield"));
        assert_eq!(afterwards(&group, &low, false, false), Afterwards::Keep);
        assert_eq!(afterwards(&group, &low, false, true), Afterwards::Forget);
        // oslo has the highest rank and isn't ready.
        assert_eq!(afterwards(&group, &high, false, false), Afterwards::Forget);
        assert_eq!(afterwards(&group, &high, true, false), Afterwards::Keep);
        let text = announcement(&group, &low, &Afterwards::Keep);
        assert!(text.contains("sheffield hands over to newyork"), "{text}");
        assert!(text.contains("rank 10), so this wish stays"), "{text}");
    }

    #[test]
    fn what_cannot_work_is_refused_with_its_code() {
        let refused = |group: &Group, name: &str| {
            let error = check(group, &named(name)).expect_err("refused");
            (error.code(), error.to_string())
        };
        let (code, text) = refused(&group(), "paris");
        assert_eq!(code, "H042");
        assert!(text.contains("newyork, sheffield, oslo"), "{text}");
        assert_eq!(refused(&group(), "oslo").0, "H043");
        let mut paused = group();
        paused.spec.paused = true;
        assert_eq!(refused(&paused, "newyork").0, "H044");
        assert!(check(&group(), &named("newyork")).is_ok());
    }
}
