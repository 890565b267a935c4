//! The body of an answer, without boxes on the path of a unary call.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::{HeaderMap, HeaderName, HeaderValue};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status};

use crate::gate::Access;
use crate::metrics::CallGuard;

/// Name of the header or trailer that carries a gRPC status code.
pub(crate) const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// Messages of a streaming call, each framed already.
pub(crate) type FrameStream = Pin<Box<dyn Stream<Item = Result<Bytes, Status>> + Send>>;

/// The body of an answer. Calls are counted when their body ends, or is dropped before it did.
#[derive(Debug)]
pub(crate) struct Body {
    kind: Kind,
    bond: Option<Bond>,
}

/// What ends a stream from outside.
#[derive(Debug)]
struct Bond {
    access: Access,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
}

enum Kind {
    /// Nothing follows the headers.
    Empty,
    /// A body of HTTP.
    Http(Option<Bytes>),
    /// One framed message, then the status OK.
    Unary(Option<Bytes>, Option<CallGuard>),
    /// Framed messages, then the status.
    Frames(FrameStream, Option<CallGuard>),
    /// What a generated service answers.
    Tonic(tonic::body::Body, Option<CallGuard>),
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "Empty",
            Self::Http(_) => "Http",
            Self::Unary(..) => "Unary",
            Self::Frames(..) => "Frames",
            Self::Tonic(..) => "Tonic",
        })
    }
}

impl Body {
    const fn new(kind: Kind) -> Self {
        Self { kind, bond: None }
    }

    pub(crate) const fn empty() -> Self {
        Self::new(Kind::Empty)
    }

    pub(crate) fn http(text: impl Into<Bytes>) -> Self {
        Self::new(Kind::Http(Some(text.into())))
    }

    pub(crate) const fn unary(frame: Bytes, call: CallGuard) -> Self {
        Self::new(Kind::Unary(Some(frame), Some(call)))
    }

    pub(crate) const fn frames(stream: FrameStream, call: CallGuard) -> Self {
        Self::new(Kind::Frames(stream, Some(call)))
    }

    pub(crate) const fn tonic(body: tonic::body::Body, call: CallGuard) -> Self {
        Self::new(Kind::Tonic(body, Some(call)))
    }

    /// Ends the stream with a status when the connection's access ends.
    pub(crate) fn bound_to(mut self, access: &Access) -> Self {
        self.bond = access.ended().map(|ended| Bond {
            access: access.clone(),
            ended: Box::pin(ended),
        });
        self
    }

    /// The status that a stream ends with because its connection isn't accepted any more.
    fn poll_ended(&mut self, cx: &mut Context<'_>) -> Poll<Status> {
        let Some(bond) = &mut self.bond else {
            return Poll::Pending;
        };
        std::task::ready!(bond.ended.as_mut().poll(cx));
        let status = bond.access.refusal();
        self.bond = None;
        status.map_or(Poll::Pending, Poll::Ready)
    }
}

fn ok_trailers() -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from_static("0"));
    trailers
}

fn trailers_of(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::with_capacity(2);
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(GRPC_STATUS, HeaderValue::from_static("13"));
    }
    trailers
}

/// The status code that headers or trailers tell; none if they don't.
pub(crate) fn code_in(headers: &HeaderMap) -> Option<Code> {
    headers
        .get(GRPC_STATUS)
        .map(|value| Code::from_bytes(value.as_bytes()))
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if let Poll::Ready(status) = self.poll_ended(cx)
            && let Kind::Frames(_, call) | Kind::Tonic(_, call) = &mut self.kind
            && let Some(call) = call.take()
        {
            call.finish(status.code());
            self.kind = Kind::Empty;
            return Poll::Ready(Some(Ok(Frame::trailers(trailers_of(&status)))));
        }
        let next = match &mut self.kind {
            Kind::Empty => return Poll::Ready(None),
            Kind::Http(text) => return Poll::Ready(text.take().map(|text| Ok(Frame::data(text)))),
            Kind::Unary(frame, call) => match frame.take() {
                Some(frame) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                None => call.take().map(|call| {
                    call.finish(Code::Ok);
                    Ok(Frame::trailers(ok_trailers()))
                }),
            },
            Kind::Frames(stream, call) => {
                if call.is_none() {
                    return Poll::Ready(None);
                }
                match std::task::ready!(stream.as_mut().poll_next(cx)) {
                    Some(Ok(frame)) => return Poll::Ready(Some(Ok(Frame::data(frame)))),
                    end => call.take().map(|call| {
                        let status = end.and_then(Result::err);
                        call.finish(status.as_ref().map_or(Code::Ok, Status::code));
                        Ok(Frame::trailers(
                            status.map_or_else(ok_trailers, |status| trailers_of(&status)),
                        ))
                    }),
                }
            }
            Kind::Tonic(body, call) => {
                let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
                if let Some(Ok(frame)) = &frame
                    && let Some(trailers) = frame.trailers_ref()
                    && let Some(call) = call.take()
                {
                    call.finish(code_in(trailers).unwrap_or(Code::Ok));
                }
                return Poll::Ready(frame);
            }
        };
        // What is left of the stream must not outlive the status: it may hold watchers.
        self.kind = Kind::Empty;
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Empty => true,
            Kind::Http(text) => text.is_none(),
            Kind::Unary(..) | Kind::Frames(..) => false,
            Kind::Tonic(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        // Only HTTP may announce a length: a gRPC body ends with trailers.
        match &self.kind {
            Kind::Http(Some(text)) => SizeHint::with_exact(text.len() as u64),
            Kind::Empty | Kind::Http(None) => SizeHint::with_exact(0),
            Kind::Unary(..) | Kind::Frames(..) | Kind::Tonic(..) => SizeHint::default(),
        }
    }
}
