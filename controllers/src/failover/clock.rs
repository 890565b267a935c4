//! The boot clock of this machine: it counts while the machine is suspended, and nobody sets it.

use std::time::Duration;

use helium_failover::Boot;
use rustix::time::{ClockId, clock_gettime};

/// Now, by `CLOCK_BOOTTIME`.
#[must_use]
pub fn now() -> Boot {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    let nanos = u32::try_from(time.tv_nsec).unwrap_or_default();
    Boot(Duration::new(seconds, nanos))
}

/// What the moments of [`now`] can be compared within: this boot of the machine, and this namespace of its clocks. `None` where the
/// kernel doesn't say.
#[must_use]
pub fn boot_id() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    // A container may have a boot clock of its own.
    let offsets = std::fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default();
    let offset: Vec<&str> = offsets
        .lines()
        .filter(|line| line.starts_with("boottime"))
        .flat_map(str::split_whitespace)
        .skip(1)
        .collect();
    Some(format!("{} {}", boot.trim(), offset.join(".")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_and_its_boot_has_a_name() {
        let first = now();
        assert!(now() >= first && first > Boot::default());
        assert_eq!(boot_id(), boot_id());
        assert!(boot_id().is_some_and(|id| id.len() > 30));
    }
}
