//! One connection, with all its calls, in one task.
//!
//! hyper hands each HTTP/2 stream to an executor. The usual one spawns a task for it, and then the
//! replies of one batch wake as many tasks, on both sides of a lock that the connection's own task
//! wants too. Here the streams of a connection are polled by the connection's task: one wake-up
//! takes all replies that are ready, and one flush sends them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt as _, Stream as _};
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::gate::{Access, EXPULSION};
use crate::service::Services;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Streams that the connection has accepted and that nobody polls yet.
#[derive(Clone, Default)]
struct Accepted(Arc<Mutex<Vec<Task>>>);

impl<F> Executor<F> for Accepted
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        self.0.lock().push(Box::pin(stream));
    }
}

/// How connections are kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KeepAlive {
    /// Pause without a sign of life after which a connection is probed.
    pub(crate) interval: Duration,
    /// How long the answer to a probe may take.
    pub(crate) timeout: Duration,
}

/// Large enough that a page of a list or a burst of events is never stopped by a window.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// Bytes of answers that one stream may have buffered; more waits in its own form.
const SEND_BUFFER: usize = 1 << 20;

/// Serves a connection until the client ends it, or until `stop`: then no new calls are taken, and
/// those under way have until `deadline`. When its `access` ends, calls are refused, and those under
/// way have [`EXPULSION`].
pub(crate) async fn serve<S>(
    socket: S,
    services: Services,
    access: Access,
    keep_alive: KeepAlive,
    stop: CancellationToken,
    deadline: CancellationToken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let accepted = Accepted::default();
    let mut builder = auto::Builder::new(accepted.clone());
    builder
        .http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(u32::MAX)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(64 << 10)
        .keep_alive_interval(keep_alive.interval)
        .keep_alive_timeout(keep_alive.timeout)
        .auto_date_header(false);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(10));
    let mut ending = Box::pin(access.clone().watch());
    let mut leaving = None;
    let service = service_fn(move |request: Request<Incoming>| {
        let (services, access) = (services.clone(), access.clone());
        async move { Ok::<_, std::convert::Infallible>(services.call(request, &access).await) }
    });
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(socket), service));
    let mut streams = FuturesUnordered::<Task>::new();
    let mut stopped = Some(Box::pin(stop.cancelled_owned()));
    let mut expired = Box::pin(deadline.cancelled_owned());
    let outcome = std::future::poll_fn(|cx: &mut Context<'_>| {
        if expired.poll_unpin(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        // Before any call: none is begun after the access has ended.
        match &mut leaving {
            None => {
                if ending.poll_unpin(cx).is_ready() {
                    let mut grace = Box::pin(tokio::time::sleep(EXPULSION));
                    // Asked once, so that it wakes this task.
                    if grace.poll_unpin(cx).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                    leaving = Some(grace);
                    connection.as_mut().graceful_shutdown();
                }
            }
            Some(grace) => {
                if grace.poll_unpin(cx).is_ready() {
                    return Poll::Ready(Ok(()));
                }
            }
        }
        if let Some(signal) = &mut stopped
            && signal.poll_unpin(cx).is_ready()
        {
            stopped = None;
            connection.as_mut().graceful_shutdown();
        }
        loop {
            streams.extend(accepted.0.lock().drain(..));
            while let Poll::Ready(Some(())) = Pin::new(&mut streams).poll_next(cx) {}
            let ended = connection.as_mut().poll(cx);
            if ended.is_ready() {
                return ended;
            }
            if accepted.0.lock().is_empty() {
                return Poll::Pending;
            }
        }
    })
    .await;
    if let Err(error) = outcome {
        // Clients that go away without a word are everyday.
        tracing::debug!(error = &*error, "connection ended with an error");
    }
}
