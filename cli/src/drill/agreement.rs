//! Whether all clusters show one and the same: what must hold whenever nothing is broken.

use super::history::View;

/// What doesn't fit together, for people; empty: one leads, everybody says so, and its payload is there and nowhere else.
pub(crate) fn contradictions(views: &[View]) -> Vec<String> {
    let mut wrong: Vec<String> = Vec::new();
    for view in views {
        let trouble = view.trouble.iter();
        wrong.extend(trouble.map(|trouble| format!("{}: {trouble}", view.cluster)));
    }
    if !wrong.is_empty() {
        return wrong;
    }
    let Some(first) = views.first() else {
        return vec!["there is no cluster".to_owned()];
    };
    let (Some(leader), Some(token)) = (&first.holder, first.lease_token) else {
        return vec![format!("{} shows a lease that nobody holds", first.cluster)];
    };
    for view in views {
        let name = &view.cluster;
        if view.holder.as_ref() != Some(leader) || view.lease_token != Some(token) {
            wrong.push(format!(
                "{name} shows the lease with {}, {} with {leader} at {token}",
                term(view.holder.as_ref(), view.lease_token),
                first.cluster
            ));
        }
        if view.leader.as_ref() != Some(leader) || view.group_token != Some(token) {
            wrong.push(format!(
                "{name} shows the group with {}, but the lease with {leader} at {token}",
                term(view.leader.as_ref(), view.group_token)
            ));
        }
        if view.address != first.address {
            wrong.push(format!(
                "{name} shows the leader's address as {}, {} as {}",
                view.address.as_deref().unwrap_or("none"),
                first.cluster,
                first.address.as_deref().unwrap_or("none")
            ));
        }
        let leads = view.cluster == *leader;
        if let Some(member) = &view.member {
            if member.leading != leads || (member.state == "Leading") != leads {
                let says = if member.leading {
                    "that it leads"
                } else {
                    "that it doesn't lead"
                };
                wrong.push(format!(
                    "{name} says of itself {says}, in state {:?}; the lease is held by {leader}",
                    member.state
                ));
            }
            if leads && member.token != Some(token) {
                wrong.push(format!(
                    "{name} leads with token {}, the lease has {token}",
                    number(member.token)
                ));
            }
            if leads && member.address != first.address {
                wrong.push(format!(
                    "{name} leads at address {}, the group has {}",
                    member.address.as_deref().unwrap_or("none"),
                    first.address.as_deref().unwrap_or("none")
                ));
            }
        }
        if !leads && let Some((object, _token)) = view.payload.first() {
            wrong.push(format!("{name} doesn't lead and has {object}"));
        }
        if leads && view.payload.is_empty() {
            wrong.push(format!("{name} leads, and nothing of its payload is there"));
        }
        if leads
            && let Some((object, other)) = view.payload.iter().find(|(_, of)| *of != Some(token))
        {
            wrong.push(format!(
                "{name} has {object} with token {}, the lease has {token}",
                number(*other)
            ));
        }
    }
    if !views.iter().any(|view| view.cluster == *leader) {
        wrong.push(format!(
            "the lease is held by {leader}, which is no cluster of the fleet"
        ));
    }
    wrong
}

fn term(who: Option<&String>, token: Option<i64>) -> String {
    match who {
        Some(who) => format!("{who} at {}", number(token)),
        None => "nobody".to_owned(),
    }
}

fn number(token: Option<i64>) -> String {
    token.map_or_else(|| "none".to_owned(), |token| token.to_string())
}
