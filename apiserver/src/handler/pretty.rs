//! Indentation for people: `?pretty=true`, or a client that is a person's.

use http::HeaderMap;
use http::header::USER_AGENT;

use crate::request_info::query_values;

/// Whether the client wants indented JSON. The parameter decides; without it, the user agent does.
pub(crate) fn wanted(query: &str, headers: &HeaderMap) -> bool {
    if let Some(value) = query_values(query, "pretty").next() {
        return !matches!(value.to_ascii_lowercase().as_str(), "false" | "0");
    }
    let agent = headers
        .get(USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"]
        .iter()
        .any(|person| agent.starts_with(person))
}

/// The same JSON, two spaces a level. Works on bytes, so that numbers and the order of keys stay
/// as they are; of something that isn't JSON it makes no sense and no harm.
pub(crate) fn indent(json: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    let mut bytes = json.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        if in_string {
            out.push(byte);
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => {
                in_string = true;
                out.push(byte);
            }
            b'{' | b'[' => {
                out.push(byte);
                while bytes.next_if(u8::is_ascii_whitespace).is_some() {}
                if bytes.peek().is_some_and(|next| matches!(next, b'}' | b']')) {
                    out.extend(bytes.next());
                } else {
                    depth += 1;
                    new_line(&mut out, depth);
                }
            }
            b'}' | b']' => {
                depth = depth.saturating_sub(1);
                new_line(&mut out, depth);
                out.push(byte);
            }
            b',' => {
                out.push(byte);
                new_line(&mut out, depth);
            }
            b':' => out.extend_from_slice(b": "),
            byte if byte.is_ascii_whitespace() => {}
            byte => out.push(byte),
        }
    }
    out.push(b'\n');
    out
}

fn new_line(out: &mut Vec<u8>, depth: usize) {
    out.push(b'\n');
    // Deeper than anything that the server answers: hostile nesting must not become quadratic.
    out.extend(std::iter::repeat_n(b' ', 2 * depth.min(100)));
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn indented_json_is_the_same_json() {
        let value = json!({"a": [1, 2.5, {"b": "x\"{,:}\\"}], "c": {}, "d": [], "e": null});
        let text = String::from_utf8(indent(value.to_string().as_bytes())).expect("text");
        assert_eq!(serde_json::from_str::<Value>(&text).expect("json"), value);
        insta::assert_snapshot!(text, @r#"
        {
          "a": [
            1,
            2.5,
            {
              "b": "x\"{,:}\\"
            }
          ],
          "c": {},
          "d": [],
          "e": null
        }
        "#);
    }

    #[test]
    fn the_parameter_wins_over_the_user_agent() {
        let mut headers = HeaderMap::new();
        assert!(!wanted("", &headers));
        assert!(wanted("pretty=true", &headers));
        headers.insert(USER_AGENT, HeaderValue::from_static("curl/8.5"));
        assert!(wanted("", &headers));
        assert!(!wanted("pretty=0", &headers));
    }

    #[test]
    fn anything_can_be_indented() {
        for junk in ["}}]]", "\"", "{\"", "\\", "[[[[", ",,::", ""] {
            indent(junk.as_bytes());
        }
    }
}
