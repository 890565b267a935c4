//! Two clocks, compared before a secret is sent.
//!
//! A token's end was set by a server's clock, and certificates begin at this machine's. If they disagree by more than certificates are
//! dated back, one of both fails later, with a text about certificates that helps nobody.

use crate::connection::Clock;
use crate::error::{Error, Result};

/// What is tolerated, in seconds: less than the hour by which certificates are dated back.
const TOLERATED_SECONDS: i64 = 300;

/// Refuses clocks that disagree.
pub(super) fn compare(server: &str, clock: Clock) -> Result<()> {
    let ahead = clock.ahead();
    if ahead.abs() <= TOLERATED_SECONDS {
        return Ok(());
    }
    Err(Error::ClockSkew {
        server: server.to_owned(),
        theirs: clock.theirs,
        ours: clock.ours,
    })
}

#[cfg(test)]
mod tests {
    use helium_telemetry::Chain;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn an_hour_is_refused_with_both_clocks_and_a_minute_isnt() {
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        let clock = |theirs: &str| Clock {
            theirs: at(theirs),
            ours: at("2026-01-01T12:00:00.4Z"),
        };
        assert!(compare("s", clock("2026-01-01T12:01:00Z")).is_ok());
        for theirs in ["2026-01-01T13:00:00Z", "2026-01-01T11:00:00Z"] {
            let error = compare("https://s:8443", clock(theirs)).expect_err("an hour");
            let text = Chain(&error).to_string();
            assert!(
                text.contains(theirs) && text.contains("12:00:00Z"),
                "{text}"
            );
            assert_eq!(error.code(), "H026");
        }
    }
}
