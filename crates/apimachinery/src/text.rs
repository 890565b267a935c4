//! Rendering of values inside messages, the way clients have learnt to read them.

use std::fmt::Write as _;

use serde_json::Value;

/// Puts a string between double quotes and escapes what isn't printable, as API messages do.
pub(crate) fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{b}' => out.push_str("\\v"),
            '\u{c}' => out.push_str("\\f"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Prints any JSON value as a message shows it: strings quoted, numbers plain, everything else as
/// compact JSON.
pub(crate) fn value_text(value: &Value) -> String {
    match value {
        Value::String(s) => quote(s),
        other => other
            .to_string()
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn quoting_escapes_controls_and_keeps_printable_text() {
        assert_eq!(quote("a\"b\\c\n\u{1}é"), "\"a\\\"b\\\\c\\n\\x01é\"");
    }

    #[test]
    fn values_print_as_compact_json() {
        assert_eq!(
            value_text(&json!({"b": [1, "<"], "a": null})),
            "{\"a\":null,\"b\":[1,\"\\u003c\"]}"
        );
        assert_eq!(value_text(&json!("x")), "\"x\"");
        assert_eq!(value_text(&json!(1.5)), "1.5");
    }
}
