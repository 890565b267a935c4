//! `helium failover take`: another cluster leads although nobody confirms that the payload has stopped elsewhere.
//!
//! What is written is a person's word, `spec.force`: every term up to a token is over. Nobody checks it; if it is wrong, two clusters run the
//! payload. So without `--force` it is only said what that means for this very group.

use helium_failover::kind::Mode;
use helium_failover::{ClusterName, Token};
use serde_json::json;

use super::api::{Asked, Group, Record};
use super::view::member;
use super::wait::{Ended, standing, until_leads};
use crate::error::{Error, Result};
use crate::options::TakeOptions;
use crate::table;

/// What is declared to be over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Word {
    /// Every term up to this one.
    token: Token,
    /// Those that may not be over: who led, at which token.
    terms: Vec<(ClusterName, Token)>,
}

/// Takes the lead.
pub(super) async fn run(options: TakeOptions) -> Result<()> {
    let TakeOptions {
        group,
        to,
        force,
        wait,
    } = options;
    let asked = Asked::open(group).await?;
    let group = asked.group().await?;
    let cluster = ClusterName(to.to_string());
    let name = &asked.name;
    check(&group, &cluster)?;
    let record = asked.record().await;
    let word = word(&group, record.as_ref(), &cluster);
    if !force {
        eprint!("{}", risk(&group, &cluster, &word));
        return Err(Error::ForceNeeded {
            group: name.to_string(),
        });
    }
    let spec = json!({"force": {"token": word.token, "cluster": cluster}});
    asked.change("forcing", spec, None).await?;
    table::print(&format!("{}\n", declared(&word)));
    match until_leads(&asked, &cluster, wait).await? {
        Ended::Leads(took, group) => {
            let token = group
                .status
                .token
                .map(|token| format!(" with token {token}"));
            table::print(&format!(
                "✓ {cluster} leads {name}{} (after {:.1} s)\n",
                token.unwrap_or_default(),
                took.as_secs_f64()
            ));
            Ok(())
        }
        Ended::TooLong(group) => Err(Error::NotLeading {
            group: name.to_string(),
            cluster: cluster.to_string(),
            seconds: wait.as_secs(),
            standing: standing(&group, &cluster),
        }),
        Ended::Interrupted => Err(Error::NotLeading {
            group: name.to_string(),
            cluster: cluster.to_string(),
            seconds: 0,
            standing: "it isn't waited for any more; what was declared stays".to_owned(),
        }),
    }
}

/// Who isn't a member has no agent that would take it. One that isn't ready can't.
fn check(group: &Group, cluster: &ClusterName) -> Result<()> {
    let name = group.name.to_string();
    match member(group, cluster) {
        None => Err(Error::NoGroupMember {
            group: name,
            cluster: cluster.to_string(),
            members: group
                .status
                .members
                .iter()
                .map(|one| one.cluster.to_string())
                .collect(),
        }),
        Some(_) if group.spec.paused => Err(Error::GroupPaused { group: name }),
        Some(one) if !one.ready => Err(Error::MemberNotReady {
            group: name,
            cluster: cluster.to_string(),
            why: one.reason.clone(),
        }),
        Some(_) => Ok(()),
    }
}

/// What has to be declared for a cluster to lead: terms of others that may not be over, but never one of its own.
fn word(group: &Group, record: Option<&Record>, cluster: &ClusterName) -> Word {
    let unconfirmed = record.map(|record| record.view.unconfirmed.as_slice());
    let mut terms: Vec<(ClusterName, Token)> = unconfirmed
        .unwrap_or_default()
        .iter()
        .map(|term| (term.cluster.clone(), term.token))
        .collect();
    let status = &group.status;
    if let (Some(leader), Some(token)) = (&status.leader, status.token)
        && leader != cluster
    {
        terms.push((leader.clone(), token));
    }
    // Where nobody leads, the last term was given up, which is said there; the word covers it all the same. Of terms that haven't begun nobody
    // can say that they are over: the server refuses that.
    let newest = status.history.first().and_then(|term| term.token);
    let last = match &status.leader {
        Some(leader) if leader == cluster => None,
        Some(_) => status.token,
        None => status.token.or(newest),
    };
    let tokens = terms.iter().map(|(_, token)| *token).chain(last);
    Word {
        token: tokens.max().unwrap_or(Token(0)),
        terms,
    }
}

fn declared(word: &Word) -> String {
    if word.terms.is_empty() {
        return format!(
            "no term is open; terms up to {} are declared to be over",
            word.token
        );
    }
    let terms: Vec<String> = word
        .terms
        .iter()
        .map(|(cluster, token)| format!("{token} of {cluster}"))
        .collect();
    format!("declared to be over: term {}", terms.join(", term "))
}

/// What a person should know before.
fn risk(group: &Group, cluster: &ClusterName, word: &Word) -> String {
    let name = &group.name;
    let mut text = format!("helium failover take {name} --to {cluster} would declare: ");
    if word.terms.is_empty() {
        text.push_str("nothing that isn't known to be over.\n");
    }
    for (of, token) in &word.terms {
        let state = member(group, of).map_or_else(
            || "it isn't a member any more".to_owned(),
            |one| format!("last heard of as {}", one.state),
        );
        text.push_str(&format!(
            "the payload has stopped in {of} (term {token}; {state}).\n"
        ));
    }
    text.push_str(
        "Nobody checks that. If a pod of it still runs there, two clusters run the payload: two writers to one database, two answers at one address.\n",
    );
    text.push_str(match group.spec.mode {
        Mode::Fast => {
            "This group is in fast mode: once the lease has run out, another member takes over without this. Force only hurries that.\n"
        }
        Mode::Strict => {
            "Writes to shared objects with the old token are refused from then on, whoever runs; nothing else is.\n"
        }
    });
    text.push_str(
        "Make sure first: the nodes are off, or kubectl there shows no pod of the payload. An orderly way, while the leader lives: helium failover handover.\n",
    );
    text
}

#[cfg(test)]
mod tests {
    use helium_failover::GroupName;
    use helium_failover::kind::{GroupSpec, GroupStatus, MemberEntry, TermEntry};
    use helium_failover::lease::LeaseView;
    use serde_json::json;

    use super::*;

    fn named(name: &str) -> ClusterName {
        ClusterName(name.to_owned())
    }

    fn group(leader: Option<&str>) -> Group {
        let one = |name: &str| MemberEntry {
            cluster: named(name),
            ready: true,
            state: "Elected".to_owned(),
            ..MemberEntry::default()
        };
        Group {
            name: GroupName {
                namespace: "shop".to_owned(),
                callsign: "one".to_owned(),
            },
            version: String::new(),
            spec: GroupSpec {
                mode: Mode::Strict,
                ..GroupSpec::default()
            },
            status: GroupStatus {
                leader: leader.map(named),
                token: Some(Token(90)),
                members: vec![one("newyork"), one("sheffield")],
                ..GroupStatus::default()
            },
        }
    }

    fn record() -> Record {
        let lease = json!({
            "metadata": {"annotations": {helium_failover::lease::UNCONFIRMED: "oslo=40,newyork=70"}},
            "spec": {"holderIdentity": "sheffield"},
        });
        Record {
            view: LeaseView::of(&lease),
            runs_out: None,
        }
    }

    #[test]
    fn what_is_declared_over_are_the_terms_of_others() {
        // sheffield waits for two terms; its own isn't over.
        let word = word(
            &group(Some("sheffield")),
            Some(&record()),
            &named("sheffield"),
        );
        assert_eq!(word.token, Token(70));
        assert_eq!(
            declared(&word),
            "declared to be over: term 40 of oslo, term 70 of newyork"
        );
    }

    #[test]
    fn the_leaders_own_term_is_declared_over_for_another() {
        let word = word(&group(Some("newyork")), None, &named("sheffield"));
        assert_eq!((word.token, word.terms.len()), (Token(90), 1));
        let text = risk(&group(Some("newyork")), &named("sheffield"), &word);
        assert!(text.contains("has stopped in newyork (term 90"), "{text}");
        assert!(text.contains("two clusters run the payload"), "{text}");
    }

    #[test]
    fn a_free_lease_needs_no_more_than_its_last_token() {
        let mut free = group(None);
        free.status.token = None;
        free.status.history = vec![TermEntry {
            token: Some(Token(90)),
            cluster: named("sheffield"),
            ..TermEntry::default()
        }];
        let word = word(&free, None, &named("newyork"));
        assert_eq!((word.token, word.terms.len()), (Token(90), 0));
        assert!(declared(&word).contains("no term is open"));
    }
}
