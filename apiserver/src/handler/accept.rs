//! The `Accept` header: clauses in the order of preference.

use http::HeaderMap;
use http::header::ACCEPT;

/// One clause: a media type and its parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Clause {
    media_type: String,
    parameters: Vec<(String, String)>,
    quality: f32,
}

impl Clause {
    /// The value of a parameter, or `""`.
    pub(crate) fn parameter(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(key, _)| key == name)
            .map_or("", |(_, value)| value.as_str())
    }

    /// Whether JSON satisfies the clause, parameters aside.
    pub(crate) fn is_json(&self) -> bool {
        matches!(
            self.media_type.as_str(),
            "application/json" | "application/*" | "*/*"
        )
    }
}

/// The clauses of all `Accept` headers, preferred first. Without any, one that takes everything.
pub(crate) fn clauses(headers: &HeaderMap) -> Vec<Clause> {
    let mut clauses: Vec<Clause> = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(clause)
        .collect();
    if clauses.is_empty() {
        clauses.extend(clause("*/*"));
    }
    clauses.retain(|clause| clause.quality > 0.0);
    // Stable: equally good clauses stay in the client's order.
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

fn clause(text: &str) -> Option<Clause> {
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts
        .next()
        .filter(|media| !media.is_empty())?
        .to_ascii_lowercase();
    let mut parsed = Clause {
        media_type,
        parameters: Vec::new(),
        quality: 1.0,
    };
    for parameter in parts {
        let Some((key, value)) = parameter.split_once('=') else {
            continue;
        };
        let (key, value) = (
            key.trim().to_ascii_lowercase(),
            value.trim().trim_matches('"'),
        );
        if key == "q" {
            parsed.quality = value
                .parse()
                .ok()
                .filter(|q: &f32| q.is_finite())
                .unwrap_or(0.0);
        } else {
            parsed.parameters.push((key, value.to_owned()));
        }
    }
    Some(parsed)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn parsed(accept: &'static str) -> Vec<String> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        clauses(&headers)
            .into_iter()
            .map(|clause| clause.media_type)
            .collect()
    }

    #[test]
    fn quality_orders_and_zero_refuses() {
        assert_eq!(
            parsed("a/b;q=0.1, c/d, e/f;q=0, g/h;q=0.5"),
            ["c/d", "g/h", "a/b"]
        );
    }

    #[test]
    fn nonsense_is_skipped_without_harm() {
        assert_eq!(
            parsed(",;;=,x/y;q=NaN;z,application/json;v"),
            ["application/json"]
        );
        assert_eq!(clauses(&HeaderMap::new()).len(), 1);
    }
}
