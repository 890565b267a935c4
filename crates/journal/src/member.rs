//! The instances that share a journal.

use crate::{Error, ErrorKind, Result, WriterId};

/// One instance, as it describes itself.
///
/// Nobody's clock is compared with anybody else's: a reader takes a member for alive while it sees
/// `heartbeat` change by its own clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Random per process start.
    pub id: WriterId,
    /// For people.
    pub name: String,
    /// Where to reach it; text in a form that the layer above chooses.
    pub addresses: String,
    /// The payload formats that it reads.
    pub formats: Vec<i16>,
    /// Grows while the instance lives.
    pub heartbeat: i64,
}

/// Formats as the tables store them: `1,2`.
pub(crate) fn formats_text(formats: &[i16]) -> String {
    let texts: Vec<String> = formats.iter().map(i16::to_string).collect();
    texts.join(",")
}

/// Formats from the tables' text.
pub(crate) fn formats_parse(text: &str) -> Result<Vec<i16>> {
    let parts = text.split(',').filter(|part| !part.is_empty());
    parts
        .map(str::parse)
        .collect::<Result<_, _>>()
        .map_err(|error: std::num::ParseIntError| {
            Error::new("decoding a member", ErrorKind::Corrupt).with_source(error)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_survive_their_text() {
        for formats in [vec![], vec![1], vec![1, 2, -3]] {
            assert_eq!(formats_parse(&formats_text(&formats)).unwrap(), formats);
        }
        assert!(formats_parse("1,x").is_err());
    }
}
