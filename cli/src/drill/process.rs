//! One process: known by its number and by when the kernel started it, and signalled only if both are still the same.

use std::fs;
use std::io;

/// A process, as it was recorded when it was started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Process {
    /// Its number.
    pub(crate) pid: u32,
    /// When the kernel started it, in clock ticks since boot, as /proc has it.
    pub(crate) birth: String,
}

/// What a process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It runs, or could.
    Running,
    /// It was stopped where it is, and not told to go on.
    Stopped,
    /// It has ended; the number may be another's.
    Ended,
}

/// What a process can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// End, without being asked.
    Kill,
    /// End at once: what PostgreSQL understands as a crash.
    Quit,
    /// Stop where you are.
    Stop,
    /// Go on.
    Continue,
}

impl Process {
    /// The process that has this number now; `None` if there is none, or it has ended and nobody has asked yet how.
    pub(crate) fn with(pid: u32) -> Option<Self> {
        let (_state, birth) = look(pid)?;
        Some(Self { pid, birth })
    }

    /// Reads `<pid> <birth>`.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (pid, birth) = text.trim().split_once(' ')?;
        Some(Self {
            pid: pid.parse().ok()?,
            birth: birth.to_owned(),
        })
    }

    /// What it does.
    pub(crate) fn life(&self) -> Life {
        match look(self.pid) {
            Some((state, birth)) if birth == self.birth => {
                if state == 'T' || state == 't' {
                    Life::Stopped
                } else {
                    Life::Running
                }
            }
            _ => Life::Ended,
        }
    }

    /// Tells it something. `false`: it has ended, and nobody was told.
    ///
    /// # Errors
    /// The operating system refused.
    #[cfg(target_os = "linux")]
    pub(crate) fn signal(&self, signal: Signal) -> io::Result<bool> {
        use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
        let named = i32::try_from(self.pid).ok().and_then(Pid::from_raw);
        let Some(pid) = named else {
            return Ok(false);
        };
        // The handle stays with one process: what is compared afterwards is what will be told.
        let handle = match pidfd_open(pid, PidfdFlags::empty()) {
            Ok(handle) => handle,
            Err(rustix::io::Errno::SRCH) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.life() == Life::Ended {
            return Ok(false);
        }
        let signal = match signal {
            Signal::Kill => rustix::process::Signal::KILL,
            Signal::Quit => rustix::process::Signal::QUIT,
            Signal::Stop => rustix::process::Signal::STOP,
            Signal::Continue => rustix::process::Signal::CONT,
        };
        match pidfd_send_signal(&handle, signal) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::SRCH) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells it something.
    ///
    /// # Errors
    /// Always: only Linux has handles of processes.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn signal(&self, _signal: Signal) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

impl std::fmt::Display for Process {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{} {}", self.pid, self.birth)
    }
}

/// State and birth of the process with a number; ended ones are none.
fn look(pid: u32) -> Option<(char, String)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // A command's name, in parentheses, may contain anything.
    let mut fields = text.rsplit_once(") ")?.1.split(' ');
    let state = fields.next()?.chars().next()?;
    if state == 'Z' || state == 'X' {
        return None;
    }
    // The state is the third field, the birth the 22nd.
    Some((state, fields.nth(18)?.to_owned()))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::process::{Child, Command};
    use std::time::Duration;

    use super::*;

    /// Something that does nothing, ended with the test.
    struct Sleeper(Child);

    impl Sleeper {
        fn start() -> (Self, Process) {
            let child = Command::new("sleep")
                .arg("600")
                .spawn()
                .expect("sleep runs");
            let process = Process::with(child.id()).expect("it was started");
            (Self(child), process)
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _gone = self.0.kill();
            let _gone = self.0.wait();
        }
    }

    fn becomes(process: &Process, life: Life) {
        for _attempt in 0..500 {
            if process.life() == life {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{process} is {:?}, not {life:?}", process.life());
    }

    #[test]
    fn a_process_is_stopped_goes_on_and_ends() {
        let (_sleeper, process) = Sleeper::start();
        becomes(&process, Life::Running);
        assert!(process.signal(Signal::Stop).expect("told"));
        becomes(&process, Life::Stopped);
        assert!(process.signal(Signal::Continue).expect("told"));
        becomes(&process, Life::Running);
        assert!(process.signal(Signal::Kill).expect("told"));
        becomes(&process, Life::Ended);
        assert!(!process.signal(Signal::Continue).expect("nobody is there"));
    }

    #[test]
    fn a_number_that_another_process_has_is_left_alone() {
        let (_sleeper, real) = Sleeper::start();
        let former = Process {
            pid: real.pid,
            birth: "1".to_owned(),
        };
        assert_eq!(former.life(), Life::Ended);
        for signal in [Signal::Kill, Signal::Quit, Signal::Stop] {
            assert!(!former.signal(signal).expect("nobody is told"));
        }
        assert_eq!(real.life(), Life::Running);
    }

    #[test]
    fn records_are_a_number_and_a_birth() {
        let process = Process::parse("17 4242\n").expect("a record");
        assert_eq!((process.pid, process.birth.as_str()), (17, "4242"));
        assert_eq!(process.to_string(), "17 4242");
        for wrong in ["", "17", "x 4242"] {
            assert_eq!(Process::parse(wrong), None, "{wrong:?}");
        }
        // As setup.sh records one that ended before it was looked at.
        assert_eq!(
            Process::parse("1 ended").map(|ended| ended.life()),
            Some(Life::Ended)
        );
    }
}
