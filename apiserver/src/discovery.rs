//! Discovery: which groups, versions and resources there are, in the three forms that clients ask for.
//!
//! Documents are made from the catalog of served resources whenever that changes, and kept as bytes:
//! an availability check costs no more than a lookup, and needs no store (invariant S1).
//!
//! Two audiences read them. An aggregator merges what it reads into its cluster's own API, so it must
//! never see a group that every cluster serves itself; direct clients see everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use helium_apimachinery::discovery;
use helium_apimachinery::gvk::GroupVersion;
use helium_apimachinery::openapi::document_hash;
use helium_apimachinery::resource::ServedVersion;
use helium_apimachinery::status::Status;
use http::header::{CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use serde_json::{Value, json};

use crate::backend::Body;
use crate::definitions::Catalog;
use crate::handler::{accept, respond};
use crate::openapi::OpenApi;

/// Who reads a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// An aggregator, on behalf of a cluster's users.
    Aggregator,
    /// A client of this server's own endpoint.
    Direct,
}

/// A document, rendered.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    body: Bytes,
    etag: HeaderValue,
}

impl Document {
    pub(crate) fn new(value: &Value) -> Self {
        let body = Bytes::from(value.to_string());
        let etag = format!("{:?}", document_hash(&body));
        let etag = HeaderValue::from_str(&etag).unwrap_or(HeaderValue::from_static("\"\""));
        Self { body, etag }
    }

    /// The document, or 304 if the client has it already.
    pub(crate) fn answer(&self, content_type: HeaderValue, headers: &HeaderMap) -> Response<Body> {
        let known = headers
            .get_all(IF_NONE_MATCH)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(|tag| tag.trim().trim_start_matches("W/"))
            .any(|tag| tag == "*" || tag.as_bytes() == self.etag.as_bytes());
        let mut response = if known {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            response
        } else {
            respond::bytes(StatusCode::OK, content_type.clone(), self.body.clone())
        };
        let answer = response.headers_mut();
        answer.insert(CONTENT_TYPE, content_type);
        answer.insert(ETAG, self.etag.clone());
        answer.insert(VARY, HeaderValue::from_static("Accept"));
        response
    }

    /// The rendered bytes.
    pub(crate) fn body(&self) -> &Bytes {
        &self.body
    }
}

/// Whether a path asks for one group: for its discovery or its OpenAPI document.
pub(crate) fn names_group(path: &str) -> bool {
    let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
    matches!(
        segments.as_slice(),
        ["apis", _] | ["apis", _, _] | ["openapi", "v3", "apis", _, _]
    )
}

/// Everything that is told about one state of the catalog to one audience.
pub(crate) struct Documents {
    generation: u64,
    legacy_api: Document,
    groups: Document,
    aggregated: [Document; 2],
    aggregated_legacy_api: [Document; 2],
    by_group: BTreeMap<String, Document>,
    by_version: BTreeMap<(String, String), Document>,
    pub(crate) openapi: OpenApi,
}

/// The forms of the aggregated document: version and content type.
const AGGREGATED: [(&str, HeaderValue); 2] = [
    (
        "v2",
        HeaderValue::from_static(
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
        ),
    ),
    (
        "v2beta1",
        HeaderValue::from_static(
            "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        ),
    ),
];

/// What the client wants of a path that has both forms.
enum Form {
    Legacy,
    Aggregated(usize),
    Unacceptable,
}

fn form(headers: &HeaderMap) -> Form {
    for clause in accept::clauses(headers)
        .iter()
        .filter(|clause| clause.is_json())
    {
        match (clause.parameter("g"), clause.parameter("as")) {
            ("apidiscovery.k8s.io", "APIGroupDiscoveryList") => {
                let wanted = clause.parameter("v");
                if let Some(index) = AGGREGATED
                    .iter()
                    .position(|(version, _)| *version == wanted)
                {
                    return Form::Aggregated(index);
                }
            }
            ("", "") => return Form::Legacy,
            _ => {}
        }
    }
    Form::Unacceptable
}

impl Documents {
    fn new(catalog: &Catalog, audience: Audience) -> Self {
        let versions = match audience {
            Audience::Aggregator => catalog.shared_versions(),
            Audience::Direct => catalog.all_versions(),
        };
        let (core, named): (Vec<ServedVersion>, Vec<ServedVersion>) = versions
            .iter()
            .cloned()
            .partition(|version| version.group_version.group.is_empty());
        let core_names: Vec<&str> = core
            .iter()
            .map(|version| version.group_version.version.as_str())
            .collect();
        let legacy_api = json!({
            "kind": "APIVersions",
            "versions": core_names,
            "serverAddressByClientCIDRs": [],
        });
        let all = || core.iter().chain(&named);
        let by_version = all()
            .filter_map(|version| {
                let group_version = &version.group_version;
                let document =
                    discovery::resource_list(group_version, std::slice::from_ref(version))?;
                let key = (group_version.group.clone(), group_version.version.clone());
                Some((key, Document::new(&document)))
            })
            .collect();
        let by_group = named
            .iter()
            .map(|version| version.group_version.group.clone())
            .filter_map(|group| {
                let document = discovery::group(&group, &named)?;
                Some((group, Document::new(&document)))
            })
            .collect();
        let aggregated = |versions: &[ServedVersion]| {
            AGGREGATED
                .each_ref()
                .map(|(form, _)| Document::new(&discovery::aggregated(form, versions)))
        };
        Self {
            generation: catalog.generation(),
            legacy_api: Document::new(&legacy_api),
            groups: Document::new(&discovery::group_list(&named)),
            aggregated: aggregated(&named),
            aggregated_legacy_api: aggregated(&core),
            by_group,
            by_version,
            openapi: OpenApi::new(core.into_iter().chain(named).collect()),
        }
    }

    /// Answers a discovery path, or `None` if it isn't one (or names what isn't served).
    pub(crate) fn answer(&self, path: &str, headers: &HeaderMap) -> Option<Response<Body>> {
        let segments: Vec<&str> = path.trim_matches('/').split('/').collect();
        let both = |legacy: &Document, aggregated: &[Document; 2]| match form(headers) {
            Form::Legacy => legacy.answer(respond::JSON, headers),
            Form::Aggregated(index) => {
                aggregated[index].answer(AGGREGATED[index].1.clone(), headers)
            }
            Form::Unacceptable => respond::status(&Status::not_acceptable(&["application/json"])),
        };
        let plain = |document: &Document| {
            if accept::clauses(headers).iter().any(accept::Clause::is_json) {
                document.answer(respond::JSON, headers)
            } else {
                respond::status(&Status::not_acceptable(&["application/json"]))
            }
        };
        let version = |group: &str, version: &str| {
            self.by_version
                .get(&(group.to_owned(), version.to_owned()))
                .map(plain)
        };
        match segments.as_slice() {
            ["api"] => Some(both(&self.legacy_api, &self.aggregated_legacy_api)),
            ["apis"] => Some(both(&self.groups, &self.aggregated)),
            ["api", core] => version("", core),
            ["apis", group] => self.by_group.get(*group).map(plain),
            ["apis", group, name] => version(group, name),
            _ => None,
        }
    }

    /// Every path that discovery answers, for the index at `/`.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = vec!["/api".to_owned(), "/apis".to_owned()];
        paths.extend(self.by_group.keys().map(|group| format!("/apis/{group}")));
        paths.extend(self.by_version.keys().map(|(group, version)| {
            let group_version = GroupVersion::new(group.as_str(), version.as_str());
            match group_version.group.as_str() {
                "" => format!("/api/{version}"),
                _ => format!("/apis/{group_version}"),
            }
        }));
        paths
    }
}

/// The latest documents of each audience, remade when the catalog has changed.
#[derive(Default)]
pub(crate) struct Library {
    aggregator: ArcSwapOption<Documents>,
    direct: ArcSwapOption<Documents>,
}

impl Library {
    /// The documents for the catalog as it is now; `None` before the definitions have been read.
    ///
    /// Two requests that find the catalog changed may both make the documents; they are equal.
    pub(crate) fn current(&self, catalog: &Catalog, audience: Audience) -> Option<Arc<Documents>> {
        if !catalog.synced() {
            return None;
        }
        let shelf = match audience {
            Audience::Aggregator => &self.aggregator,
            Audience::Direct => &self.direct,
        };
        if let Some(documents) = shelf.load_full()
            && documents.generation == catalog.generation()
        {
            return Some(documents);
        }
        let documents = Arc::new(Documents::new(catalog, audience));
        shelf.store(Some(Arc::clone(&documents)));
        Some(documents)
    }
}
