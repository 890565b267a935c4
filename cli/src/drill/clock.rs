//! The one clock of a drill.

use jiff::Timestamp;

use super::history::Moment;

/// When a drill began, on the clock that nobody sets and that counts while the machine sleeps.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: u64,
    wall: Timestamp,
}

impl Clock {
    /// Begins now.
    pub(crate) fn start() -> Self {
        Self {
            began: boot(),
            wall: Timestamp::now(),
        }
    }

    /// Since then.
    pub(crate) fn now(&self) -> Moment {
        Moment(boot().saturating_sub(self.began))
    }

    /// Time of day at the beginning, for people.
    pub(crate) fn wall(&self) -> String {
        format!("{:.0}", self.wall)
    }
}

/// Microseconds since the machine was started.
fn boot() -> u64 {
    #[cfg(target_os = "linux")]
    let id = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let id = rustix::time::ClockId::Monotonic;
    let now = rustix::time::clock_gettime(id);
    let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
    u64::try_from(micros).unwrap_or_default()
}
