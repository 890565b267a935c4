//! Syntax of names: DNS labels and subdomains, qualified names, label values, generated names.
//!
//! Each check returns the messages that an API answer shows, one for each rule broken; none means that the
//! text is valid (Kubernetes documentation, "Object names and IDs" and "Labels and selectors").

use rand::RngCore;

/// Longest DNS label, in bytes.
pub const LABEL_MAX: usize = 63;
/// Longest DNS subdomain, in bytes.
pub const SUBDOMAIN_MAX: usize = 253;

const DNS1123_LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const DNS1123_SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const DNS1035_LABEL: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";

/// What a message says about a text that doesn't match a pattern.
fn pattern_message(rule: &str, pattern: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|e| format!("'{e}', ")).collect();
    format!(
        "{rule} (e.g. {}regex used for validation is '{pattern}')",
        examples.join("or ")
    )
}

fn lower_alnum(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// `[a-z0-9]([-a-z0-9]*[a-z0-9])?`
fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            lower_alnum(*first)
                && lower_alnum(*last)
                && bytes.iter().all(|b| lower_alnum(*b) || *b == b'-')
        }
        _ => false,
    }
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// `([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]`
fn is_qualified_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (Some(first), Some(last)) => {
            first.is_ascii_alphanumeric()
                && last.is_ascii_alphanumeric()
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
        }
        _ => false,
    }
}

/// Messages for a name that isn't a DNS-1123 label (names of namespaces).
pub fn dns1123_label(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > LABEL_MAX {
        messages.push(format!("must be no more than {LABEL_MAX} characters"));
    }
    if !is_label(text) {
        messages.push(if is_subdomain(text) {
            "must not contain dots".to_owned()
        } else {
            pattern_message(
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character",
                DNS1123_LABEL,
                &["my-name", "123-abc"],
            )
        });
    }
    messages
}

/// Messages for a name that isn't a DNS-1123 subdomain (names of most objects).
pub fn dns1123_subdomain(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        messages.push(format!("must be no more than {SUBDOMAIN_MAX} characters"));
    }
    if !is_subdomain(text) {
        messages.push(pattern_message(
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            DNS1123_SUBDOMAIN,
            &["example.com"],
        ));
    }
    messages
}

/// Messages for a name that isn't a DNS-1035 label (versions, kinds in lower case).
pub fn dns1035_label(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > LABEL_MAX {
        messages.push(format!("must be no more than {LABEL_MAX} characters"));
    }
    if !is_label(text) || !text.starts_with(|c: char| c.is_ascii_lowercase()) {
        messages.push(pattern_message(
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character",
            DNS1035_LABEL,
            &["my-name", "abc-123"],
        ));
    }
    messages
}

/// Messages for a text that isn't a qualified name, `[prefix/]name`: the syntax of label keys, annotation
/// keys and finalizers.
pub fn qualified_name(text: &str) -> Vec<String> {
    const RULE: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
    const EXAMPLES: [&str; 3] = ["MyName", "my.name", "123-abc"];
    let mut messages = Vec::new();
    let mut parts = text.split('/');
    let name = match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => name,
        (Some(prefix), Some(name), None) => {
            if prefix.is_empty() {
                messages.push("prefix part must be non-empty".to_owned());
            } else {
                messages.extend(
                    dns1123_subdomain(prefix)
                        .into_iter()
                        .map(|m| format!("prefix part {m}")),
                );
            }
            name
        }
        _ => {
            let pattern = pattern_message(RULE, QUALIFIED, &EXAMPLES);
            return vec![format!(
                "a valid label key {pattern} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
    };
    if name.is_empty() {
        messages.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        messages.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_qualified_part(name) {
        messages.push(format!(
            "name part {}",
            pattern_message(RULE, QUALIFIED, &EXAMPLES)
        ));
    }
    messages
}

/// Messages for a text that can't be the key of a ConfigMap, which is also the rule for the names of lease candidates.
pub fn config_map_key(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        messages.push(format!("must be no more than {SUBDOMAIN_MAX} bytes"));
    }
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if text.is_empty() || !text.bytes().all(fits) {
        messages.push(pattern_message(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            "[-._a-zA-Z0-9]+",
            &["key.name", "KEY_NAME", "key-name"],
        ));
    }
    if text.starts_with("..") || text == "." {
        messages.push(format!("must not be {text:?} or start with '..'"));
    }
    messages
}

/// Messages for a text that isn't a label value.
pub fn label_value(text: &str) -> Vec<String> {
    let mut messages = Vec::new();
    if text.len() > LABEL_MAX {
        messages.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !text.is_empty() && !is_qualified_part(text) {
        messages.push(pattern_message(
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?",
            &["MyValue", "my_value", "12345"],
        ));
    }
    messages
}

/// Messages for a `generateName`: like a subdomain, but it may end with a dash.
pub fn generate_name_prefix(text: &str) -> Vec<String> {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            // The dash will be followed by more characters, and so may the character before it.
            let mut masked = rest.to_owned();
            masked.pop();
            masked.push('a');
            dns1123_subdomain(&masked)
        }
        _ => dns1123_subdomain(text),
    }
}

/// Characters of generated names: no vowels, so that no words appear, and no look-alikes.
const GENERATED: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
/// Random characters in a generated name.
const GENERATED_LEN: usize = 5;

/// Appends five random characters to a prefix, cut so that the result has at most 63 bytes.
pub fn generate_name(prefix: &str, random: &mut dyn RngCore) -> String {
    let mut cut = prefix.len().min(LABEL_MAX - GENERATED_LEN);
    while !prefix.is_char_boundary(cut) {
        cut -= 1;
    }
    let mut name = prefix[..cut].to_owned();
    for _ in 0..GENERATED_LEN {
        let index = random.next_u32() as usize % GENERATED.len();
        name.push(char::from(GENERATED[index]));
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn labels_and_subdomains() {
        for good in ["a", "0", "a-b", "123-abc"] {
            assert!(dns1123_label(good).is_empty(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "é"] {
            assert_eq!(dns1123_label(bad).len(), 1, "{bad}");
        }
        assert_eq!(dns1123_label("a.b"), ["must not contain dots"]);
        assert!(dns1123_subdomain("a.b-c.0").is_empty());
        for bad in ["a..b", ".a", "a.", "A.b"] {
            assert_eq!(dns1123_subdomain(bad).len(), 1, "{bad}");
        }
        assert_eq!(
            dns1123_subdomain(&"a".repeat(254)),
            ["must be no more than 253 characters"]
        );
        assert!(dns1035_label("a1").is_empty());
        assert_eq!(dns1035_label("1a").len(), 1);
    }

    #[test]
    fn subdomain_message_is_the_known_one() {
        assert_eq!(
            dns1123_subdomain("A"),
            [
                "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert!(dns1123_label("A")[0].contains("(e.g. 'my-name', or '123-abc', regex used"));
    }

    #[test]
    fn qualified_names_have_an_optional_prefix() {
        for good in [
            "simple",
            "now-with-dashes",
            "1.2.3.4/5678",
            "Example.com".to_lowercase().as_str(),
            "a.b/C_d",
        ] {
            assert!(qualified_name(good).is_empty(), "{good}");
        }
        for bad in ["", "/a", "a/", "a/b/c", "nospecialchars%^=@", "-a", "A.b/c"] {
            assert!(!qualified_name(bad).is_empty(), "{bad}");
        }
        assert_eq!(
            qualified_name(&"a".repeat(64)),
            ["name part must be no more than 63 bytes"]
        );
    }

    #[test]
    fn label_values_may_be_empty() {
        assert!(label_value("").is_empty());
        assert!(label_value("a_b.C").is_empty());
        assert_eq!(label_value("a b").len(), 1);
    }

    #[test]
    fn generated_names_keep_the_prefix_and_fit() {
        let mut random = rand::rngs::StdRng::seed_from_u64(1);
        let name = generate_name("web-", &mut random);
        assert!(name.starts_with("web-") && name.len() == 9, "{name}");
        let long = generate_name(&"é".repeat(60), &mut random);
        assert!(long.len() <= LABEL_MAX);
        assert!(generate_name_prefix("web-").is_empty());
        assert!(!generate_name_prefix("Web-").is_empty());
    }
}
