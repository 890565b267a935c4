//! What a path and a method mean: verb, group, version, resource, namespace, name.
//!
//! The rules are those of Kubernetes' request info resolver (API conventions, "Verbs on resources"):
//! a path that has too few segments to name a resource is a *non-resource* request, whose verb
//! is the lower-cased HTTP method.

use std::fmt;

use http::Method;
use percent_encoding::percent_decode_str;

/// The verb that authorization is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Read one object.
    Get,
    /// Read a collection.
    List,
    /// Follow a collection, or one object of it.
    Watch,
    /// Make an object.
    Create,
    /// Replace an object.
    Update,
    /// Change parts of an object.
    Patch,
    /// Delete one object.
    Delete,
    /// Delete all objects of a collection.
    DeleteCollection,
    /// Any other: the lower-cased HTTP method of a non-resource request, `proxy`, or empty for
    /// a method that means nothing on a resource.
    Other(String),
}

impl Verb {
    /// The verb as authorization rules spell it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Get => "get",
            Self::List => "list",
            Self::Watch => "watch",
            Self::Create => "create",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::DeleteCollection => "deletecollection",
            Self::Other(verb) => verb,
        }
    }

    /// Whether a request with this verb can change state.
    #[must_use]
    pub fn is_mutating(&self) -> bool {
        match self {
            Self::Get | Self::List | Self::Watch => false,
            Self::Create | Self::Update | Self::Patch | Self::Delete | Self::DeleteCollection => {
                true
            }
            Self::Other(verb) => !matches!(verb.as_str(), "get" | "head" | "options"),
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A resource that a path names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ResourceTarget {
    /// API group; empty for the legacy group under `/api`.
    pub group: String,
    /// Version inside the group, such as `v1`.
    pub version: String,
    /// Plural resource name, such as `leases`.
    pub resource: String,
    /// `status`, `scale` or any other, as written in the path.
    pub subresource: Option<String>,
    /// Namespace segment of the path; `None` for cluster-wide requests.
    pub namespace: Option<String>,
    /// Object name: from the path, or from a `metadata.name` field selector of a list or watch.
    pub name: Option<String>,
    /// Whether `name` stood in the path (and not in a field selector).
    pub name_in_path: bool,
    /// Path segments behind the subresource, as in `proxy/apis/…`.
    pub rest: Vec<String>,
}

/// A request, classified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestInfo {
    /// The path as it was sent, still percent-encoded.
    pub path: String,
    /// The verb that authorization is asked for.
    pub verb: Verb,
    /// The resource, or `None` for a non-resource request such as `/healthz`.
    pub target: Option<ResourceTarget>,
}

impl RequestInfo {
    /// Classifies a request. Never fails: what can't be understood is a non-resource request.
    #[must_use]
    pub fn parse(method: &Method, path: &str, query: &str) -> Self {
        let segments = segments(path);
        let (verb, target) = match parse_resource(method, &segments, query) {
            Some((verb, target)) => (verb, Some(target)),
            None => (Verb::Other(method.as_str().to_ascii_lowercase()), None),
        };
        Self {
            path: path.to_owned(),
            verb,
            target,
        }
    }

    /// Whether the request may last as long as its client wants: watches, and the streaming
    /// subresources. These have no time-out and are not counted against the in-flight limits.
    #[must_use]
    pub fn is_long_running(&self) -> bool {
        let streaming = |subresource: &str| {
            matches!(
                subresource,
                "proxy" | "log" | "exec" | "attach" | "portforward"
            )
        };
        self.verb == Verb::Watch
            || self
                .target
                .as_ref()
                .and_then(|target| target.subresource.as_deref())
                .is_some_and(streaming)
    }
}

/// Values of one query parameter, decoded, in order.
pub(crate) fn query_values<'a>(
    query: &'a str,
    wanted: &'a str,
) -> impl Iterator<Item = String> + 'a {
    url::form_urlencoded::parse(query.as_bytes())
        .filter(move |(name, _)| name == wanted)
        .map(|(_, value)| value.into_owned())
}

fn segments(path: &str) -> Vec<String> {
    path.trim_matches('/')
        .split('/')
        .filter(|segment| !segment.is_empty())
        .map(|segment| percent_decode_str(segment).decode_utf8_lossy().into_owned())
        .collect()
}

fn parse_resource(
    method: &Method,
    segments: &[String],
    query: &str,
) -> Option<(Verb, ResourceTarget)> {
    let (group, version, rest) = match segments {
        [prefix, version, rest @ ..] if prefix == "api" => ("", version, rest),
        [prefix, group, version, rest @ ..] if prefix == "apis" => (group.as_str(), version, rest),
        _ => return None,
    };
    if rest.is_empty() {
        return None;
    }
    let (legacy_watch, rest) = match rest {
        [first] if first == "watch" => return None,
        [first, rest @ ..] if first == "watch" => (true, rest),
        rest => (false, rest),
    };
    let mut target = ResourceTarget {
        group: group.to_owned(),
        version: version.clone(),
        ..ResourceTarget::default()
    };
    let parts = split_namespace(rest, &mut target);
    let mut parts = parts.iter().cloned();
    target.resource = parts.next().unwrap_or_default();
    target.name = parts.next();
    target.name_in_path = target.name.is_some();
    target.subresource = parts.next();
    target.rest = parts.collect();

    let verb = if legacy_watch {
        Verb::Watch
    } else {
        verb_of(method, target.name_in_path, query)
    };
    if matches!(verb, Verb::List | Verb::Watch) && target.name.is_none() {
        target.name = selected_name(query);
    }
    Some((verb, target))
}

/// Takes `namespaces/<ns>` off the front, unless the path is about the namespace itself.
fn split_namespace<'a>(parts: &'a [String], target: &mut ResourceTarget) -> &'a [String] {
    match parts {
        [keyword, namespace, rest @ ..] if keyword == "namespaces" => {
            target.namespace = Some(namespace.clone());
            match rest.first().map(String::as_str) {
                None | Some("status" | "finalize") => parts,
                Some(_) => rest,
            }
        }
        _ => parts,
    }
}

fn verb_of(method: &Method, named: bool, query: &str) -> Verb {
    match *method {
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::PATCH => Verb::Patch,
        Method::DELETE if named => Verb::Delete,
        Method::DELETE => Verb::DeleteCollection,
        Method::GET | Method::HEAD if named => Verb::Get,
        Method::GET | Method::HEAD if wants_watch(query) => Verb::Watch,
        Method::GET | Method::HEAD => Verb::List,
        _ => Verb::Other(String::new()),
    }
}

/// `watch=true`, `watch=1`, and a bare `watch` all ask for a stream.
fn wants_watch(query: &str) -> bool {
    query_values(query, "watch")
        .next()
        .is_some_and(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
}

fn selected_name(query: &str) -> Option<String> {
    let selector = query_values(query, "fieldSelector").next()?;
    selector.split(',').find_map(|term| {
        let (field, value) = term.split_once("==").or_else(|| term.split_once('='))?;
        let plain = !field.ends_with('!') && !value.is_empty();
        (field.trim() == "metadata.name" && plain).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: Method, path: &str, query: &str) -> RequestInfo {
        RequestInfo::parse(&method, path, query)
    }

    /// Group, resource, subresource, namespace and name, with dashes for what is missing.
    fn summary(method: Method, path: &str, query: &str) -> String {
        let info = parse(method, path, query);
        let Some(target) = &info.target else {
            return format!("{} {}", info.verb, info.path);
        };
        let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
        let ResourceTarget {
            group,
            version,
            resource,
            ..
        } = target;
        let (subresource, namespace) = (or_dash(&target.subresource), or_dash(&target.namespace));
        let name = or_dash(&target.name);
        format!(
            "{} {group}/{version} {resource}/{subresource} {namespace} {name}",
            info.verb
        )
    }

    #[test]
    fn paths_are_understood_as_kubernetes_does() {
        let cases = [
            (Method::GET, "/apis/g/v1/ws", "", "list g/v1 ws/- - -"),
            (
                Method::GET,
                "/apis/g/v1/ws",
                "watch=true",
                "watch g/v1 ws/- - -",
            ),
            (
                Method::GET,
                "/apis/g/v1/ws",
                "watch=false",
                "list g/v1 ws/- - -",
            ),
            (
                Method::GET,
                "/apis/g/v1/namespaces/n/ws",
                "",
                "list g/v1 ws/- n -",
            ),
            (
                Method::GET,
                "/apis/g/v1/namespaces/n/ws/a",
                "",
                "get g/v1 ws/- n a",
            ),
            (
                Method::GET,
                "/apis/g/v1/namespaces/n/ws/a",
                "watch=1",
                "get g/v1 ws/- n a",
            ),
            (
                Method::PATCH,
                "/apis/g/v1/namespaces/n/ws/a/status",
                "",
                "patch g/v1 ws/status n a",
            ),
            (
                Method::DELETE,
                "/apis/g/v1/namespaces/n/ws",
                "",
                "deletecollection g/v1 ws/- n -",
            ),
            (
                Method::GET,
                "/api/v1/namespaces",
                "",
                "list /v1 namespaces/- - -",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/n",
                "",
                "get /v1 namespaces/- n n",
            ),
            (
                Method::PUT,
                "/api/v1/namespaces/n/finalize",
                "",
                "update /v1 namespaces/finalize n n",
            ),
            (
                Method::GET,
                "/api/v1/namespaces/n/pods",
                "",
                "list /v1 pods/- n -",
            ),
            (
                Method::GET,
                "/apis/g/v1/watch/ws",
                "",
                "watch g/v1 ws/- - -",
            ),
            (
                Method::GET,
                "/apis/g/v1/ws/a%2Fb",
                "",
                "get g/v1 ws/- - a/b",
            ),
            (Method::OPTIONS, "/apis/g/v1/ws", "", " g/v1 ws/- - -"),
            (Method::GET, "/apis/g/v1", "", "get /apis/g/v1"),
            (Method::GET, "/apis", "", "get /apis"),
            (Method::POST, "/healthz", "", "post /healthz"),
            (Method::GET, "/", "", "get /"),
        ];
        for (method, path, query, expected) in cases {
            assert_eq!(summary(method, path, query), expected, "{path}?{query}");
        }
    }

    #[test]
    fn a_selected_name_is_the_name_that_is_authorised() {
        let list = |query: &str| {
            let info = parse(Method::GET, "/apis/g/v1/ws", query);
            let target = info.target.expect("a resource");
            assert!(!target.name_in_path);
            target.name
        };
        assert_eq!(list("fieldSelector=metadata.name%3Da"), Some("a".into()));
        assert_eq!(
            list("fieldSelector=x%3Dy,metadata.name%3D%3Da"),
            Some("a".into())
        );
        assert_eq!(list("fieldSelector=metadata.name!%3Da"), None);
        assert_eq!(list("fieldSelector=metadata.namespace%3Da"), None);
    }

    #[test]
    fn watches_and_streams_are_long_running() {
        let long = |path: &str, query: &str| parse(Method::GET, path, query).is_long_running();
        assert!(long("/apis/g/v1/ws", "watch=true"));
        assert!(long(
            "/apis/helium.dev/v1/controlplanes/fleet/proxy/apis",
            ""
        ));
        assert!(!long("/apis/g/v1/ws", ""));
        assert!(!long("/apis/g/v1/ws/a/status", ""));
    }
}
