//! The last layer: what every answer gets, whoever made it.

use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, WARNING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response};
use http_body::Body as _;
use tokio_util::sync::CancellationToken;

use super::pretty;
use crate::backend::{Body, WarningSink};
use crate::metrics::Current;
use crate::request_info::RequestInfo;

const AUDIT_ID: HeaderName = HeaderName::from_static("audit-id");
/// Longest audit id that is taken over from the client.
const MAX_AUDIT_ID: usize = 64;
/// Longest warning, and longest sum of warnings, in bytes.
const MAX_WARNING: usize = 256;
const MAX_WARNINGS: usize = 4096;
/// Larger documents aren't indented: they are no longer read by people.
const MAX_INDENTED: u64 = 8 * 1024 * 1024;

/// What of the request the last layer needs to know.
pub(super) struct Finish {
    audit_id: HeaderValue,
    pretty: bool,
    head_only: bool,
}

impl Finish {
    pub(super) fn new(
        method: &Method,
        query: &str,
        headers: &HeaderMap,
        info: &RequestInfo,
    ) -> Self {
        let given = headers
            .get(AUDIT_ID)
            .filter(|id| !id.is_empty() && id.len() <= MAX_AUDIT_ID);
        let audit_id = given.cloned().unwrap_or_else(|| {
            HeaderValue::from_str(&uuid::Uuid::new_v4().to_string())
                .unwrap_or(HeaderValue::from_static("-"))
        });
        Self {
            audit_id,
            pretty: !info.is_long_running() && pretty::wanted(query, headers),
            head_only: method == Method::HEAD,
        }
    }

    /// Completes an answer and returns it with its audit id. The body of a long-running one ends when
    /// `ending`'s token is cancelled, between two pieces.
    pub(super) async fn apply(
        self,
        mut response: Response<Body>,
        warnings: &WarningSink,
        ending: Option<(CancellationToken, Current)>,
    ) -> (Response<Body>, String) {
        if self.pretty {
            response = indented(response).await;
        }
        if let Some((token, current)) = ending {
            response = response.map(|body| end_with(body, token, current));
        }
        if self.head_only {
            response = without_body(response);
        }
        let audit_id = String::from_utf8_lossy(self.audit_id.as_bytes()).into_owned();
        let headers = response.headers_mut();
        headers.insert(AUDIT_ID, self.audit_id);
        if !headers.contains_key(CACHE_CONTROL) {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        }
        let mut room = MAX_WARNINGS;
        for warning in warnings.take() {
            let Some(value) = warning_value(&warning) else {
                continue;
            };
            if value.len() > room {
                break;
            }
            room -= value.len();
            headers.append(WARNING, value);
        }
        (response, audit_id)
    }
}

/// `299 - "text"`, quoted and without control characters.
fn warning_value(text: &str) -> Option<HeaderValue> {
    let mut quoted = String::with_capacity(text.len() + 10);
    for character in text.chars().filter(|character| !character.is_control()) {
        if quoted.len() + character.len_utf8() > MAX_WARNING {
            break;
        }
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    HeaderValue::from_bytes(format!("299 - \"{quoted}\"").as_bytes()).ok()
}

async fn indented(response: Response<Body>) -> Response<Body> {
    let json = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"application/json"));
    let whole = response
        .body()
        .size_hint()
        .exact()
        .is_some_and(|size| size <= MAX_INDENTED);
    if !json || !whole {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    match axum::body::to_bytes(body, usize::MAX).await {
        Ok(bytes) if bytes.is_empty() => Response::from_parts(parts, Body::empty()),
        Ok(bytes) => {
            parts.headers.remove(CONTENT_LENGTH);
            Response::from_parts(parts, Body::from(pretty::indent(&bytes)))
        }
        // A whole body in memory can't fail; if it does, the client sees it fail.
        Err(error) => Response::from_parts(parts, Body::from_stream(failing(error))),
    }
}

fn failing(
    error: axum::Error,
) -> impl futures_util::Stream<Item = Result<bytes::Bytes, axum::Error>> {
    futures_util::stream::once(async { Err(error) })
}

fn end_with(body: Body, token: CancellationToken, current: Current) -> Body {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let pieces = body
        .into_data_stream()
        .take_until(async move { token.cancelled().await });
    // The request counts as current for as long as its stream lives.
    Body::from_stream(pieces.map(move |piece| {
        let _still_current = &current;
        piece
    }))
}

fn without_body(response: Response<Body>) -> Response<Body> {
    let length = response.body().size_hint().exact();
    let (mut parts, _body) = response.into_parts();
    if let Some(length) = length {
        parts
            .headers
            .insert(CONTENT_LENGTH, HeaderValue::from(length));
    }
    Response::from_parts(parts, Body::empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_are_quoted_and_cut() {
        let value = |text: &str| {
            let value = warning_value(text).expect("printable");
            String::from_utf8(value.as_bytes().to_vec()).expect("text")
        };
        assert_eq!(
            value("unknown field \"spec.x\"\n"),
            r#"299 - "unknown field \"spec.x\"""#
        );
        assert!(value(&"é".repeat(1000)).len() < 300);
    }
}
