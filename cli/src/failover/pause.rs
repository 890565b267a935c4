//! `helium failover pause` and `resume`.

use serde_json::json;

use super::api::Asked;
use crate::error::Result;
use crate::options::FailoverGroupOptions;
use crate::table;

/// Pauses a group, or lets it go on.
pub(super) async fn run(options: FailoverGroupOptions, pause: bool) -> Result<()> {
    let asked = Asked::open(options).await?;
    let before = asked.group().await?;
    let name = &asked.name;
    let leader = match &before.status.leader {
        Some(leader) => format!("{leader} leads on"),
        None => "nobody leads".to_owned(),
    };
    if before.spec.paused != pause {
        let doing = if pause { "pausing" } else { "resuming" };
        asked.change(doing, json!({"paused": pause}), None).await?;
    }
    let already = if before.spec.paused == pause {
        " already"
    } else {
        ""
    };
    table::print(&if pause {
        format!(
            "✓ {name} is paused{already}: {leader}, and nobody else begins, also if that cluster dies\n    \
             end    helium failover resume {name}\n"
        )
    } else {
        format!("✓ {name} isn't paused{already}: {leader}\n")
    });
    Ok(())
}
