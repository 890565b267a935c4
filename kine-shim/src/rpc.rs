//! gRPC over HTTP/2 for the hot calls: one message in, one message out, nothing in between.
//!
//! The generated servers box a future, a body and a buffer of 8 KiB for each call. Here the request
//! is copied once, into an allocation of its own size that keys and values then share (the store
//! keeps them, and must not keep a connection's read buffer alive), and the answer is written once.

use std::pin::Pin;
use std::task::Poll;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Response, header};
use http_body::Body as _;
use hyper::body::Incoming;
use prost::Message;
use tonic::{Code, Status};

use crate::body::{Body, FrameStream};
use crate::encode::Wire;
use crate::error::{self, Refusal, Result};
use crate::gate::Access;
use crate::metrics::CallGuard;

/// Compression flag and length in front of every message.
const PREFIX: usize = 5;
const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Reads the one message of a unary request.
///
/// Doesn't wait for the end of the request's stream: the message is all there is.
pub(crate) async fn read_message(mut body: Incoming, limit: usize) -> Result<Bytes> {
    let mut buffer = BytesMut::new();
    let mut expected = None;
    loop {
        let frame = std::future::poll_fn(|cx| match Pin::new(&mut body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => Poll::Ready(Ok(Some(frame))),
            Poll::Ready(Some(Err(error))) => Poll::Ready(Err(Status::cancelled(error.to_string()))),
            Poll::Ready(None) => Poll::Ready(Ok(None)),
            Poll::Pending => Poll::Pending,
        })
        .await?;
        let Some(frame) = frame else {
            return Err(Refusal::MalformedRequest.into());
        };
        let Ok(mut data) = frame.into_data() else {
            continue;
        };
        if expected.is_none() && buffer.is_empty() && data.len() >= PREFIX {
            // The usual case: everything in one frame.
            let length = read_prefix(&mut data, limit)?;
            if data.len() >= length {
                return Ok(Bytes::copy_from_slice(&data[..length]));
            }
            buffer.reserve(length);
            buffer.extend_from_slice(&data);
            expected = Some(length);
            continue;
        }
        buffer.extend_from_slice(&data);
        if expected.is_none() && buffer.len() >= PREFIX {
            expected = Some(read_prefix(&mut buffer, limit)?);
        }
        if let Some(length) = expected
            && buffer.len() >= length
        {
            buffer.truncate(length);
            return Ok(buffer.freeze());
        }
    }
}

fn read_prefix(buffer: &mut impl Buf, limit: usize) -> Result<usize> {
    if buffer.get_u8() != 0 {
        return Err(Refusal::Compressed.into());
    }
    let length = buffer.get_u32() as usize;
    if length > limit {
        return Err(error::message_too_large(length, limit));
    }
    Ok(length)
}

/// Decodes a request; `bytes` fields become slices of `message`.
pub(crate) fn decode<T: Message + Default>(message: Bytes) -> Result<T> {
    T::decode(message).map_err(|error| {
        tracing::debug!(%error, "request can't be decoded");
        Refusal::MalformedRequest.into()
    })
}

/// Writes a message with its prefix.
pub(crate) fn frame(message: &impl Wire) -> Result<Bytes> {
    let length = message.len();
    let Ok(prefix) = u32::try_from(length) else {
        return Err(Status::resource_exhausted(format!(
            "kine-shim: the answer has {length} bytes, more than a gRPC message can hold; use a limit"
        )));
    };
    let mut buffer = BytesMut::with_capacity(PREFIX + length);
    buffer.put_u8(0);
    buffer.put_u32(prefix);
    message.write(&mut buffer);
    debug_assert_eq!(
        buffer.len(),
        PREFIX + length,
        "a message wrote what it said"
    );
    Ok(buffer.freeze())
}

/// The answer to a unary call: a framed message, or a status.
pub(crate) fn answer(result: Result<Bytes>, call: CallGuard) -> Response<Body> {
    match result {
        Ok(frame) => respond(Body::unary(frame, call)),
        Err(status) => refuse(&status, call),
    }
}

/// The answer to a streaming call, which ends with the connection's access.
pub(crate) fn stream(
    result: Result<FrameStream>,
    call: CallGuard,
    access: &Access,
) -> Response<Body> {
    match result {
        Ok(frames) => respond(Body::frames(frames, call).bound_to(access)),
        Err(status) => refuse(&status, call),
    }
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, GRPC);
    response
}

/// An answer that is nothing but a status.
pub(crate) fn refuse(status: &Status, call: CallGuard) -> Response<Body> {
    call.finish(status.code());
    refusal(status)
}

/// [`refuse`] for requests that name no known method, and aren't counted.
pub(crate) fn refusal(status: &Status) -> Response<Body> {
    let mut response = respond(Body::empty());
    if status.add_header(response.headers_mut()).is_err() {
        let code = HeaderValue::from(Code::Internal as i32);
        response
            .headers_mut()
            .insert(crate::body::GRPC_STATUS, code);
    }
    response
}

/// What a client says about itself in a request's headers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Demands {
    /// Whether the call must fail while the database can't be reached.
    pub(crate) leader: bool,
}

impl Demands {
    /// Reads the headers that etcd knows.
    pub(crate) fn read(headers: &HeaderMap) -> Result<Self> {
        if let Some(version) = headers.get("client-api-version")
            && std::str::from_utf8(version.as_bytes()).is_err()
        {
            return Err(Refusal::InvalidClientApiVersion.into());
        }
        let leader = headers
            .get("hasleader")
            .is_some_and(|value| value == "true");
        Ok(Self { leader })
    }
}
