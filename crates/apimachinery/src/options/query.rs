//! Decoding of query strings.

use percent_encoding::percent_decode_str;

use crate::status::{Result, Status};
use crate::text::quote;

/// Query parameters, decoded, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(pub Vec<(String, String)>);

impl Query {
    /// Decodes the raw query string of a URL (without `?`). Malformed escapes stand for themselves.
    pub fn parse(raw: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        Self(
            raw.split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decode(key), decode(value)))
                .collect(),
        )
    }

    /// The first value of a parameter.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// Every value of a parameter.
    pub fn get_all<'q>(&'q self, key: &'q str) -> impl Iterator<Item = &'q str> {
        self.0
            .iter()
            .filter(move |(k, _)| k == key)
            .map(|(_, v)| v.as_str())
    }

    /// The value of a parameter, or empty.
    pub fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// A flag: absent is false; everything but `0` and `false` is true, the empty value too.
    pub fn flag(&self, key: &str) -> bool {
        self.optional_flag(key).unwrap_or_default()
    }

    /// A flag that may be absent.
    pub fn optional_flag(&self, key: &str) -> Option<bool> {
        self.get(key)
            .map(|value| !matches!(value, "0") && !value.eq_ignore_ascii_case("false"))
    }

    /// A number that may be absent; 400 when it isn't one.
    pub fn number(&self, key: &str) -> Result<Option<i64>> {
        let Some(text) = self.get(key) else {
            return Ok(None);
        };
        text.parse().map(Some).map_err(|_| {
            Status::bad_request(format!(
                "strconv.ParseInt: parsing {}: invalid syntax",
                quote(text)
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded() {
        let query = Query::parse("a=b%20c+d&watch&x=1&x=2&=z&bad=%zz");
        assert_eq!(query.get("a"), Some("b c d"));
        assert!(query.flag("watch"));
        assert_eq!(query.get_all("x").collect::<Vec<_>>(), ["1", "2"]);
        assert_eq!(query.get("bad"), Some("%zz"));
        assert!(!query.flag("missing"));
    }

    #[test]
    fn flags_and_numbers() {
        let query = Query::parse("a=0&b=False&c=true&d=yes&n=12&m=x&e=");
        assert_eq!(
            ["a", "b", "c", "d"].map(|k| query.flag(k)),
            [false, false, true, true]
        );
        assert_eq!(query.number("n").unwrap(), Some(12));
        assert_eq!(
            query.number("m").unwrap_err().message(),
            "strconv.ParseInt: parsing \"x\": invalid syntax"
        );
        assert_eq!(query.number("none").unwrap(), None);
    }
}
