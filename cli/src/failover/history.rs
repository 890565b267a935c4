//! `helium failover history`: who led when.

use jiff::Timestamp;

use super::api::Asked;
use super::view::{TermRow, terms, time};
use crate::error::Result;
use crate::options::{FailoverHistoryOptions, OutputFormat};
use crate::table::{self, ago, span};

/// Prints a group's terms, the newest first.
pub(super) async fn run(options: FailoverHistoryOptions) -> Result<()> {
    let FailoverHistoryOptions { group, output } = options;
    let asked = Asked::open(group).await?;
    let group = asked.group().await?;
    let now = Timestamp::now();
    let rows = terms(&group.status.history, now);
    match output {
        // Texts and numbers only: it can't fail to serialise.
        OutputFormat::Json => {
            table::print(&(serde_json::to_string(&rows).unwrap_or_default() + "\n"));
        }
        OutputFormat::Text if rows.is_empty() => eprintln!("nobody has led {} yet", asked.name),
        OutputFormat::Text => table::print(&text(&rows, now)),
    }
    Ok(())
}

fn text(rows: &[TermRow], now: Timestamp) -> String {
    let head = [
        "TOKEN", "CLUSTER", "ADDRESS", "BEGAN", "AGO", "BECAUSE", "LASTED", "ENDED", "GAP",
    ];
    let cells = rows.iter().map(|row| {
        let term = &row.term;
        let began = time(Some(&term.began));
        let whole =
            |millis: Option<i64>| millis.map(|millis| span(millis / 1000)).unwrap_or_default();
        [
            term.token
                .map(|token| token.to_string())
                .unwrap_or_default(),
            term.cluster.to_string(),
            term.address.clone().unwrap_or_default(),
            began.map_or_else(|| term.began.clone(), |began| format!("{began:.0}")),
            ago(began, now),
            term.reason.clone(),
            whole(row.lasted_millis),
            match (&term.ended, term.end_reason.as_str()) {
                (None, _) => "leads".to_owned(),
                (Some(_), reason) => reason.to_owned(),
            },
            row.gap_millis.map(gap).unwrap_or_default(),
        ]
    });
    table::render(head, cells)
}

/// A time without a leader: short ones matter.
fn gap(millis: i64) -> String {
    if millis < 10_000 {
        format!("{}.{:03}s", millis / 1000, millis % 1000)
    } else {
        span(millis / 1000)
    }
}

#[cfg(test)]
mod tests {
    use helium_failover::kind::TermEntry;
    use helium_failover::{ClusterName, Token};

    use super::*;

    fn term(token: i64, cluster: &str, began: &str, ended: Option<&str>, why: &str) -> TermEntry {
        TermEntry {
            token: Some(Token(token)),
            cluster: ClusterName(cluster.to_owned()),
            address: None,
            began: began.to_owned(),
            reason: why.to_owned(),
            ended: ended.map(str::to_owned),
            end_reason: if ended.is_some() { "HigherRank" } else { "" }.to_owned(),
        }
    }

    #[test]
    fn terms_are_shown_with_how_long_they_lasted_and_the_gaps_between() {
        let now: Timestamp = "2026-01-01T00:02:00Z".parse().expect("a time");
        let history = [
            term(
                9,
                "sheffield",
                "2026-01-01T00:01:00.350Z",
                None,
                "HandedOver",
            ),
            term(
                4,
                "newyork",
                "2026-01-01T00:00:00Z",
                Some("2026-01-01T00:01:00.100Z"),
                "Free",
            ),
        ];
        assert_eq!(
            text(&terms(&history, now), now),
            "TOKEN   CLUSTER     ADDRESS   BEGAN                  AGO    BECAUSE      LASTED   ENDED        GAP\n\
             9       sheffield   -         2026-01-01T00:01:00Z   59s    HandedOver   59s      leads        0.250s\n\
             4       newyork     -         2026-01-01T00:00:00Z   2m0s   Free         60s      HigherRank   -\n"
        );
    }

    #[test]
    fn times_that_cannot_be_read_are_left_out() {
        let now: Timestamp = "2026-01-01T00:02:00Z".parse().expect("a time");
        let rows = terms(&[term(1, "a", "yesterday", Some("today"), "")], now);
        assert_eq!((rows[0].lasted_millis, rows[0].gap_millis), (None, None));
        assert!(text(&rows, now).contains("yesterday"));
    }
}
