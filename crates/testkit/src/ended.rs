//! How a command ended, for tests of command lines.

use std::process::{Command, Output, Stdio};

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code, if it wasn't killed.
    pub code: Option<i32>,
    /// What it wrote there.
    pub stdout: String,
    /// What it wrote there.
    pub stderr: String,
}

impl Ended {
    /// Runs a command to its end, without an input.
    ///
    /// # Panics
    /// If it can't be started.
    #[track_caller]
    pub fn of(command: &mut Command) -> Self {
        let output = command.stdin(Stdio::null()).output();
        let Output {
            status,
            stdout,
            stderr,
        } = output.expect("the command can be started");
        Self {
            code: status.code(),
            stdout: String::from_utf8_lossy(&stdout).into_owned(),
            stderr: String::from_utf8_lossy(&stderr).into_owned(),
        }
    }

    /// What it printed, if it went well.
    ///
    /// # Panics
    /// If it didn't.
    #[track_caller]
    pub fn good(self) -> String {
        assert_eq!(self.code, Some(0), "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What it complained of, under this code of `docs/errors`.
    ///
    /// # Panics
    /// If it didn't.
    #[track_caller]
    pub fn refused(self, code: &str) -> String {
        assert_eq!(self.code, Some(1), "{}{}", self.stdout, self.stderr);
        let named = format!("(code {code}: docs/errors/{code}.md)");
        assert!(self.stderr.contains(&named), "{}", self.stderr);
        self.stderr
    }
}
