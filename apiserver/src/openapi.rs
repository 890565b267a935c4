//! OpenAPI: `/openapi/v2`, the index `/openapi/v3`, and a v3 document for each group and version.
//!
//! Rendered at the first request after a change, because most changes of the catalog come in groups.
//!
//! A link of the index carries the hash of its document. Whoever follows an old link gets the
//! current document, without the headers that would let a cache keep it for ever: a redirect would
//! be turned into an error by aggregators.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use helium_apimachinery::gvk::GroupVersion;
use helium_apimachinery::openapi;
use helium_apimachinery::resource::ServedVersion;
use helium_apimachinery::status::Status;
use http::header::{CACHE_CONTROL, EXPIRES, VARY};
use http::{HeaderMap, HeaderValue, Response};

use crate::backend::Body;
use crate::discovery::Document;
use crate::handler::{accept, respond};
use crate::request_info::query_values;

/// The OpenAPI documents of one state of the catalog.
pub(crate) struct OpenApi {
    versions: Vec<ServedVersion>,
    v2: OnceLock<Document>,
    v3: OnceLock<V3>,
}

struct V3 {
    index: Document,
    documents: BTreeMap<String, (String, Document)>,
}

impl OpenApi {
    /// Documents for these versions; nothing is rendered yet.
    pub(crate) fn new(versions: Vec<ServedVersion>) -> Self {
        Self {
            versions,
            v2: OnceLock::new(),
            v3: OnceLock::new(),
        }
    }

    /// Answers an OpenAPI path, or `None` if it isn't one (or names what isn't served).
    pub(crate) fn answer(
        &self,
        path: &str,
        query: &str,
        headers: &HeaderMap,
    ) -> Option<Response<Body>> {
        let rest = path.strip_prefix("/openapi/")?.trim_end_matches('/');
        let (form, of) = rest.split_once('/').unwrap_or((rest, ""));
        if !matches!((form, of), ("v2", "") | ("v3", _)) {
            return None;
        }
        if !accept::clauses(headers).iter().any(accept::Clause::is_json) {
            return Some(respond::status(&Status::not_acceptable(&[
                "application/json",
            ])));
        }
        match (form, of) {
            ("v2", _) => Some(self.v2().answer(respond::JSON, headers)),
            (_, "") => Some(self.v3().index.answer(respond::JSON, headers)),
            (_, of) => {
                let (hash, document) = self.v3().documents.get(of)?;
                let mut response = document.answer(respond::JSON, headers);
                let asked = query_values(query, "hash").next();
                if asked.as_deref() == Some(hash) {
                    keep_for_ever(response.headers_mut());
                }
                Some(response)
            }
        }
    }

    fn v2(&self) -> &Document {
        self.v2
            .get_or_init(|| Document::new(&openapi::v2_document(&self.versions)))
    }

    fn v3(&self) -> &V3 {
        self.v3.get_or_init(|| {
            let mut documents = BTreeMap::new();
            let mut hashes: Vec<(&GroupVersion, String)> = Vec::new();
            for version in &self.versions {
                let group_version = &version.group_version;
                let document =
                    Document::new(&openapi::v3_document(group_version, &version.resources));
                let hash = openapi::document_hash(document.body());
                hashes.push((group_version, hash.clone()));
                documents.insert(path(group_version), (hash, document));
            }
            let links = hashes
                .iter()
                .map(|(group_version, hash)| (*group_version, hash.as_str()));
            V3 {
                index: Document::new(&openapi::v3_root(links)),
                documents,
            }
        })
    }
}

/// A group and version as paths spell it.
fn path(group_version: &GroupVersion) -> String {
    match group_version.group.as_str() {
        "" => format!("api/{}", group_version.version),
        group => format!("apis/{group}/{}", group_version.version),
    }
}

/// The link names the content, so the content behind it never changes.
fn keep_for_ever(headers: &mut HeaderMap) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
    headers.insert(
        EXPIRES,
        HeaderValue::from_static("Thu, 31 Dec 2037 23:55:55 GMT"),
    );
    headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
}
