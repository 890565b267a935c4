//! What a SQLite endpoint says.

use std::path::PathBuf;
use std::time::Duration;

/// The file, and what of kine's parameters means something here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteParameters {
    /// The database file.
    pub path: PathBuf,
    /// How long to wait for another process that holds the file (`_busy_timeout`, milliseconds).
    pub busy_timeout: Duration,
    /// Prepared statements kept per connection (`_stmt_cache_size`).
    pub statement_cache: usize,
    /// Parameters that were given and have no effect, as `name=value`.
    pub ignored: Vec<String>,
}

impl SqliteParameters {
    /// kine's default file is `./db/state.db`.
    pub const DEFAULT_PATH: &'static str = "./db/state.db";

    /// A file with the default parameters.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            busy_timeout: Duration::from_secs(30),
            statement_cache: 100,
            ignored: Vec::new(),
        }
    }

    /// Takes one parameter of the URL's query. What asks for what is done anyway is silently
    /// accepted; what would weaken durability or change nothing is put on the list of the ignored.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let lower = value.to_ascii_lowercase();
        let taken = match name {
            "_busy_timeout" | "_timeout" => value
                .parse()
                .map(|millis| self.busy_timeout = Duration::from_millis(millis))
                .is_ok(),
            "_stmt_cache_size" => value
                .parse::<usize>()
                // Fewer than the statements that we have would prepare each of them again and again.
                .map(|size| self.statement_cache = size.max(50))
                .is_ok(),
            "_journal_mode" | "_journal" => lower == "wal",
            "_synchronous" | "_sync" => matches!(lower.as_str(), "full" | "2"),
            "_txlock" => lower == "immediate",
            "mode" => lower == "rwc",
            _ => false,
        };
        if !taken {
            self.ignored.push(format!("{name}={value}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weaker_durability_is_ignored_and_listed() {
        let mut parameters = SqliteParameters::new("x.db");
        parameters.set("_synchronous", "NORMAL");
        parameters.set("_journal_mode", "WAL");
        parameters.set("_busy_timeout", "1500");
        parameters.set("cache", "shared");
        assert_eq!(parameters.busy_timeout, Duration::from_millis(1500));
        assert_eq!(parameters.ignored, ["_synchronous=NORMAL", "cache=shared"]);
    }
}
