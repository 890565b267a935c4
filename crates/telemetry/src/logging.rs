//! One subscriber for the process.

use std::io::IsTerminal as _;
use std::str::FromStr;

use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// One readable line for each event, coloured on a terminal.
    #[default]
    Plain,
    /// One JSON object for each event.
    Json,
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "plain" | "text" => Ok(Self::Plain),
            "json" => Ok(Self::Json),
            other => Err(format!("unknown log format {other:?}: use plain or json")),
        }
    }
}

impl std::fmt::Display for Format {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Plain => "plain",
            Self::Json => "json",
        })
    }
}

/// Errors of setting up the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The filter isn't a list of `target=level` directives.
    #[error(
        "the log filter {filter:?} is malformed: write for example \"info\" or \"warn,kine_shim=debug\""
    )]
    Filter {
        /// What was given.
        filter: String,
        /// The parser's complaint.
        #[source]
        source: tracing_subscriber::filter::ParseError,
    },
}

/// Starts logging to standard error. `filter` is used unless the environment variable `RUST_LOG`
/// says otherwise. A second call in the same process (tests, one process with several servers)
/// changes nothing.
pub fn start(format: Format, filter: &str) -> Result<(), Error> {
    let filter = std::env::var("RUST_LOG").unwrap_or_else(|_unset| filter.to_owned());
    let parsed = EnvFilter::try_new(&filter).map_err(|source| Error::Filter { filter, source })?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(parsed)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // The only error is that a subscriber is installed already.
    let _already_started = match format {
        Format::Plain => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn malformed_filter_is_refused_with_an_example() {
        let error = start(Format::Plain, "a=b=c").expect_err("a malformed filter");
        assert!(error.to_string().contains("write for example"), "{error}");
        assert_eq!("json".parse(), Ok(Format::Json));
        assert!("xml".parse::<Format>().is_err());
    }
}
