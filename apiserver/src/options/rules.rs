//! Rules for objects of built-in kinds.

use std::time::Duration;

use clap::{Args, ValueEnum};
use helium_apimachinery::lease::{DurationLimits, DurationPolicy};

use super::{OptionsError, values};
use crate::config::Rules;

#[derive(Debug, Args)]
pub(super) struct RuleFlags {
    /// How long events are kept after their last change.
    #[arg(long, default_value = "1h", value_parser = values::duration,
        env = "HELIUM_APISERVER_EVENT_TTL")]
    event_ttl: Duration,
    /// Shortest duration of a lease that somebody holds, in whole seconds.
    #[arg(long, default_value = "1s", value_parser = values::duration,
        env = "HELIUM_APISERVER_LEASE_DURATION_MIN")]
    lease_duration_min: Duration,
    /// Longest duration of a lease that somebody holds, in whole seconds.
    #[arg(long, default_value = "1h", value_parser = values::duration,
        env = "HELIUM_APISERVER_LEASE_DURATION_MAX")]
    lease_duration_max: Duration,
    /// What becomes of a lease with another duration: refuse it, or cap the duration and warn. With
    /// cap, a holder must give up within the capped duration, whatever it asked for.
    #[arg(
        long,
        value_enum,
        default_value = "refuse",
        env = "HELIUM_APISERVER_LEASE_DURATION_POLICY"
    )]
    lease_duration_policy: LeaseDurationPolicy,
}

/// What becomes of a lease whose duration is out of bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LeaseDurationPolicy {
    Refuse,
    Cap,
}

impl RuleFlags {
    /// The rules that they describe.
    pub(super) fn into_rules(self) -> Result<Rules, OptionsError> {
        let Self {
            event_ttl,
            lease_duration_min,
            lease_duration_max,
            lease_duration_policy,
        } = self;
        Ok(Rules {
            event_ttl,
            lease_durations: lease_durations(
                lease_duration_min,
                lease_duration_max,
                lease_duration_policy,
            )?,
        })
    }
}

/// The limits in whole seconds, of which there must be one.
fn lease_durations(
    min: Duration,
    max: Duration,
    policy: LeaseDurationPolicy,
) -> Result<DurationLimits, OptionsError> {
    let shortest = (min.as_secs() + u64::from(min.subsec_nanos() > 0)).max(1);
    let longest = max.as_secs();
    // Leases count in 32 bits.
    let seconds = |seconds: u64| i64::from(i32::try_from(seconds).unwrap_or(i32::MAX));
    if shortest > longest {
        return Err(OptionsError::LeaseDurations { min, max });
    }
    Ok(DurationLimits {
        min: seconds(shortest),
        max: seconds(longest),
        policy: match policy {
            LeaseDurationPolicy::Refuse => DurationPolicy::Refuse,
            LeaseDurationPolicy::Cap => DurationPolicy::Cap,
        },
    })
}
