//! Formats of strings. Formats that aren't known are ignored (Kubernetes API reference, CustomResourceDefinition,
//! "formats").

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::names;

/// Whether a text has a format. Dashes in the format's name don't count.
pub(super) fn is_valid(format: &str, text: &str) -> bool {
    if format.is_empty() {
        return true;
    }
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && is_hex(text),
        "uri" => is_uri(text),
        "email" => is_email(text),
        "hostname" => is_hostname(text),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "cidr" => is_cidr(text),
        "mac" => is_mac(text),
        "uuid" => is_uuid(text, None),
        "uuid3" => is_uuid(text, Some('3')),
        "uuid4" => is_uuid(text, Some('4')),
        "uuid5" => is_uuid(text, Some('5')),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "creditcard" => is_credit_card(text),
        "ssn" => is_ssn(text),
        "hexcolor" => {
            let digits = text.strip_prefix('#').unwrap_or(text);
            matches!(digits.len(), 3 | 6) && is_hex(digits)
        }
        "rgbcolor" => is_rgb_color(text),
        "byte" => STANDARD.decode(text).is_ok(),
        "date" => is_date(text),
        "duration" => is_duration(text),
        "datetime" => is_date_time(text),
        "k8sshortname" => names::dns1123_label(text).is_empty(),
        "k8slongname" => names::dns1123_subdomain(text).is_empty(),
        _ => true,
    }
}

fn is_hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// An absolute URI, or an absolute path.
fn is_uri(text: &str) -> bool {
    if text.bytes().any(|b| b <= 0x20 || b == 0x7f) {
        return false;
    }
    if text.starts_with('/') {
        return true;
    }
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_is_valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    scheme_is_valid && !rest.is_empty()
}

fn is_email(text: &str) -> bool {
    // A name may stand before the address in angle brackets.
    let address = match text.strip_suffix('>') {
        Some(rest) => rest.rsplit_once('<').map_or("", |(_, address)| address),
        None => text,
    };
    let Some((local, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.ends_with('.')
            && !part.contains("..")
            && !part
                .chars()
                .any(|c| c.is_whitespace() || "()<>[]:;@\\,\"".contains(c))
    };
    plain(local) && plain(domain)
}

fn is_hostname(text: &str) -> bool {
    let text = text.strip_suffix('.').unwrap_or(text);
    !text.is_empty()
        && text.len() <= 255
        && text.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.chars().all(|c| c.is_alphanumeric() || c == '-')
        })
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    let max = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    is_digits(bits) && bits.parse::<u8>().is_ok_and(|bits| bits <= max)
}

/// Six, eight or twenty bytes in hex: `00:00:5e:00:53:01`, with dashes, or `0000.5e00.5301`.
fn is_mac(text: &str) -> bool {
    let groups = |separator: char, width: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len()) && parts.iter().all(|p| p.len() == width && is_hex(p))
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[3, 4, 10])
}

/// 8-4-4-4-12 hex digits, each dash optional; a version is the first digit of the third group.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    let mut rest = text;
    for (index, width) in [8, 4, 4, 4, 12].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some(group) = rest.get(..width).filter(|group| is_hex(group)) else {
            return false;
        };
        match (index, version) {
            (2, Some(version)) if !group.starts_with(version) => return false,
            (3, Some('4' | '5')) if !group.starts_with(|c: char| "89abAB".contains(c)) => {
                return false;
            }
            _ => {}
        }
        rest = &rest[width..];
    }
    rest.is_empty()
}

fn compact(text: &str) -> Vec<char> {
    text.chars()
        .filter(|c| !c.is_whitespace() && *c != '-')
        .collect()
}

fn is_isbn10(text: &str) -> bool {
    let chars = compact(text);
    let mut sum = 0;
    for (index, c) in chars.iter().enumerate() {
        let digit = match c.to_digit(10) {
            Some(digit) => digit,
            None if index == 9 && *c == 'X' => 10,
            None => return false,
        };
        sum += digit * u32::try_from(index + 1).unwrap_or(0);
    }
    chars.len() == 10 && sum % 11 == 0
}

fn is_isbn13(text: &str) -> bool {
    let digits: Option<Vec<u32>> = compact(text).iter().map(|c| c.to_digit(10)).collect();
    digits.is_some_and(|digits| {
        let sum: u32 = digits
            .iter()
            .enumerate()
            .map(|(i, d)| if i % 2 == 0 { *d } else { d * 3 })
            .sum();
        digits.len() == 13 && sum.is_multiple_of(10)
    })
}

/// A card number that passes the check digit (Luhn), with anything between its digits.
fn is_credit_card(text: &str) -> bool {
    let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(10)).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(index, digit)| match (index % 2, digit * 2) {
            (0, _) => *digit,
            (_, double) if double > 9 => double - 9,
            (_, double) => double,
        })
        .sum();
    (13..=16).contains(&digits.len()) && sum.is_multiple_of(10)
}

fn is_ssn(text: &str) -> bool {
    let mut rest = text;
    for (index, width) in [3, 2, 4].into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix(['-', ' ']).unwrap_or(rest);
        }
        let Some(group) = rest.get(..width).filter(|group| is_digits(group)) else {
            return false;
        };
        rest = &rest[group.len()..];
    }
    rest.is_empty()
}

fn is_rgb_color(text: &str) -> bool {
    let inner = text
        .strip_prefix("rgb(")
        .and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3
            && parts
                .iter()
                .all(|p| is_digits(p) && p.parse::<u8>().is_ok())
    })
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}

fn is_date_time(text: &str) -> bool {
    let separated = matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' '));
    let zoned =
        text.ends_with(['Z', 'z']) || text.get(19..).is_some_and(|rest| rest.contains(['+', '-']));
    separated && zoned && text.parse::<jiff::Timestamp>().is_ok()
}

/// `1h30m`, `1.5s`, `-2ms`, or a number and a unit in words: `22 ns`, `3 days`.
fn is_duration(text: &str) -> bool {
    const UNITS: [&str; 26] = [
        "ns",
        "us",
        "µs",
        "μs",
        "ms",
        "s",
        "m",
        "h",
        "d",
        "w",
        "nano",
        "nanos",
        "nanosecond",
        "nanoseconds",
        "micro",
        "micros",
        "milli",
        "millis",
        "second",
        "seconds",
        "minute",
        "minutes",
        "hour",
        "hours",
        "day",
        "days",
    ];
    let mut rest = text.strip_prefix(['-', '+']).unwrap_or(text).trim_start();
    if rest == "0" {
        return true;
    }
    if rest.is_empty() {
        return false;
    }
    while !rest.is_empty() {
        let number = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(number);
        let tail = tail.trim_start();
        let unit = tail
            .find(|c: char| !c.is_alphabetic())
            .unwrap_or(tail.len());
        let is_number = digits.bytes().any(|b| b.is_ascii_digit())
            && digits.bytes().filter(|b| *b == b'.').count() <= 1;
        if !is_number || !UNITS.contains(&&tail[..unit]) {
            return false;
        }
        rest = tail[unit..].trim_start();
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_and_refuse() {
        for (format, good, bad) in [
            (
                "uri",
                &["http://a/b", "/a", "urn:x:y"][..],
                &["a", "http://a b", ":x", ""][..],
            ),
            (
                "email",
                &["a@b.c", "A B <a@b>"],
                &["a", "@b", "a@", "a b@c"],
            ),
            ("hostname", &["a.b-c", "a."], &["", "-a", "a..b", "a_b"]),
            ("ipv4", &["1.2.3.4"], &["1.2.3", "::1"]),
            ("ipv6", &["::1"], &["1.2.3.4", "g::"]),
            (
                "cidr",
                &["10.0.0.0/8", "::/0"],
                &["10.0.0.0", "10.0.0.0/33", "x/8"],
            ),
            (
                "mac",
                &["00:00:5e:00:53:01", "0000.5e00.5301"],
                &["00:00", "zz:00:5e:00:53:01"],
            ),
            (
                "uuid",
                &[
                    "A8098C1A-F86E-11DA-BD1A-00112444BE1E",
                    "a8098c1af86e11dabd1a00112444be1e",
                ],
                &["x", "a8098c1a"],
            ),
            (
                "uuid4",
                &["16fd2706-8baf-433b-82eb-8c7fada847da"],
                &["16fd2706-8baf-133b-82eb-8c7fada847da"],
            ),
            (
                "isbn",
                &["0321751043", "978-0321751041"],
                &["0321751044", "x"],
            ),
            (
                "creditcard",
                &["4111-1111-1111-1111"],
                &["4111-1111-1111-1112", ""],
            ),
            ("ssn", &["111-11-1111", "111 11 1111"], &["111-11-111", "x"]),
            ("hexcolor", &["#FFFFFF", "fff"], &["#ff", "#ggg"]),
            ("rgbcolor", &["rgb(255, 0,1)"], &["rgb(256,0,0)", "255,0,0"]),
            ("byte", &["YQ==", ""], &["a", "%%"]),
            ("date", &["2026-02-28"], &["2026-02-30", "2026-2-3", "x"]),
            (
                "date-time",
                &["2014-12-15T19:30:20.000Z", "2014-12-15T19:30:20+01:00"],
                &["2014-12-15", "x", "2014-12-15T19:30:20"],
            ),
            (
                "duration",
                &["1h30m", "22 ns", "3 days", "0", "-1.5s"],
                &["", "1", "x", "1 fortnight"],
            ),
            ("bsonobjectid", &["507f1f77bcf86cd799439011"], &["507f"]),
            ("k8s-short-name", &["a-b"], &["A"]),
            ("unheard-of", &["anything"], &[]),
        ] {
            for text in good {
                assert!(is_valid(format, text), "{format} should accept {text}");
            }
            for text in bad {
                assert!(!is_valid(format, text), "{format} should refuse {text}");
            }
        }
    }
}
