//! Parsers of single flag values, whose errors say what to write instead.

use std::time::Duration;

use helium_apimachinery::names;
use url::Url;

use crate::duration;

pub(super) fn cluster_name(text: &str) -> Result<String, String> {
    // It is part of keys and certificates.
    if names::dns1123_label(text).is_empty() {
        return Ok(text.to_owned());
    }
    Err(
        "a cluster's name has 1 to 63 lower-case letters, digits or '-', \
         and begins and ends with a letter or digit"
            .to_owned(),
    )
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    duration::parse(text).ok_or_else(|| "write a duration such as 10s, 1m30s or 0".to_owned())
}

pub(super) fn endpoint(text: &str) -> Result<Url, String> {
    // Like etcd's own clients, take `host:port` for an unencrypted endpoint.
    let full = if text.contains("://") {
        text.to_owned()
    } else {
        format!("http://{text}")
    };
    let url = Url::parse(&full).map_err(|error| format!("{error}; write https://host:2379"))?;
    match (url.scheme(), url.host_str()) {
        ("http" | "https", Some(host)) if !host.is_empty() => Ok(url),
        ("http" | "https", _) => Err("the host is missing; write https://host:2379".to_owned()),
        (scheme, _) => Err(format!("scheme {scheme:?} isn't http or https")),
    }
}
