//! Errors with all their causes on one line.

use std::error::Error;
use std::fmt;

/// Displays an error and its sources, joined by `: `.
///
/// ```
/// use helium_telemetry::Chain;
/// let error = std::io::Error::other("the disk is full");
/// assert_eq!(Chain(&error).to_string(), "the disk is full");
/// ```
#[derive(Clone, Copy)]
pub struct Chain<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut last = self.0.to_string();
        formatter.write_str(&last)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            let text = error.to_string();
            // Some libraries repeat their source in their own text: say it once.
            if !last.ends_with(&text) {
                write!(formatter, ": {text}")?;
                last = text;
            }
            source = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Chain<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("opening the journal")]
    struct Opening(#[source] Connecting);

    #[derive(Debug, thiserror::Error)]
    #[error("connecting to the database")]
    struct Connecting(#[source] std::io::Error);

    #[test]
    fn every_source_is_printed_once() {
        let error = Opening(Connecting(std::io::Error::other("connection refused")));
        assert_eq!(
            Chain(&error).to_string(),
            "opening the journal: connecting to the database: connection refused"
        );
    }
}
