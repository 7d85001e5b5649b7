//! The bodies of a proxied request, streamed frame by frame.
//!
//! Invariant: an idle timeout or a fault on one side becomes an error of the stream, so that the
//! other side sees that the body is incomplete. If the service does not read the caller's body to
//! its end, the rest is read here, so that the caller can read the response.

use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use super::proxied::{Outcome, Proxied};
use crate::front::body::discard;

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// The state that both directions of a proxied request share.
pub(super) struct Traffic {
    begun: Instant,
    idle_timeout: Duration,
    /// When a frame last moved in either direction, in milliseconds since the beginning.
    last_frame: AtomicU64,
    /// The rest of the caller's body; `None` once it has ended or is discarded.
    body: Mutex<Option<Body>>,
    /// Wakes the task that waits for more of the caller's body.
    waker: AtomicWaker,
    awaits_caller: AtomicBool,
    caller_aborted: AtomicBool,
}

impl Traffic {
    pub(super) fn begin(body: Body, idle_timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            idle_timeout,
            last_frame: AtomicU64::new(0),
            body: Mutex::new(Some(body).filter(|body| !body.is_end_stream())),
            waker: AtomicWaker::new(),
            awaits_caller: AtomicBool::new(false),
            caller_aborted: AtomicBool::new(false),
        })
    }

    /// Reads and drops the rest of the caller's body, so that the caller can read the response.
    pub(super) fn discard_rest(&self) {
        if let Some(rest) = self.body().take() {
            discard(rest, self.idle_timeout);
            self.waker.wake();
        }
    }

    /// Whether the next frame must come from the caller.
    pub(super) fn awaits_caller(&self) -> bool {
        self.awaits_caller.load(Ordering::Relaxed)
    }

    /// Whether the caller hung up in the middle of its body.
    pub(super) fn caller_aborted(&self) -> bool {
        self.caller_aborted.load(Ordering::Relaxed)
    }

    fn body(&self) -> MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Restarts the idle timeout.
    fn touch(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_frame.store(since, Ordering::Relaxed);
    }

    fn idle_deadline(&self) -> Instant {
        self.begun + Duration::from_millis(self.last_frame.load(Ordering::Relaxed)) + self.idle_timeout
    }
}

/// A timer that ends when no frame has moved in either direction for the idle timeout.
pub(super) struct IdleTimer {
    traffic: Arc<Traffic>,
    sleep: Pin<Box<Sleep>>,
}

impl IdleTimer {
    pub(super) fn of(traffic: Arc<Traffic>) -> Self {
        Self { sleep: Box::pin(sleep_until(traffic.idle_deadline())), traffic }
    }

    /// The result of a call, or `None` if the idle timeout ends first.
    pub(super) async fn run<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
        let mut call = pin!(call);
        std::future::poll_fn(|context| {
            if let Poll::Ready(result) = call.as_mut().poll(context) {
                return Poll::Ready(Some(result));
            }
            self.poll(context).map(|()| None)
        })
        .await
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        loop {
            ready!(self.sleep.as_mut().poll(context));
            let end = self.traffic.idle_deadline();
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(end);
        }
    }
}

/// The caller's body, as it is sent to the service.
pub(super) struct Upload(Arc<Traffic>);

impl Upload {
    pub(super) fn of(traffic: &Arc<Traffic>) -> Self {
        Self(Arc::clone(traffic))
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<axum::Error> {
        let traffic = &self.0;
        let mut slot = traffic.body();
        let Some(body) = slot.as_mut() else {
            let discarded = io::Error::new(io::ErrorKind::BrokenPipe, "the rest of the body is discarded");
            return Poll::Ready(Some(Err(axum::Error::new(discarded))));
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        traffic.awaits_caller.store(polled.is_pending(), Ordering::Relaxed);
        let ended = match &polled {
            Poll::Pending => {
                traffic.waker.register(context.waker());
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(Some(Err(_))) => {
                traffic.caller_aborted.store(true, Ordering::Relaxed);
                true
            }
            Poll::Ready(None) => true,
        };
        if ended {
            *slot = None;
        }
        traffic.touch();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.0.body().is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.body().as_ref().map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.discard_rest();
    }
}

/// The response body. It has no size hint, because the service's headers give the length, even of
/// bodies that are not sent (HEAD, 304).
pub(super) struct Download {
    body: Incoming,
    /// Whether the next frame must come from the service. A caller that reads slowly does not make
    /// the service idle.
    awaits_service: bool,
    timer: IdleTimer,
    proxied: Option<Proxied>,
}

impl Download {
    pub(super) fn of(body: Incoming, timer: IdleTimer, proxied: Proxied) -> Self {
        let mut download = Self { body, awaits_service: false, timer, proxied: Some(proxied) };
        download.finish_if_ended();
        download
    }

    /// Ends the request with the last frame and returns its permit, because a caller that reads a
    /// body of known length does not poll again after that frame.
    fn finish_if_ended(&mut self) {
        if self.body.is_end_stream() {
            self.finish(Outcome::Answered);
        }
    }

    fn finish(&mut self, outcome: Outcome) {
        self.timer.traffic.discard_rest();
        if let Some(proxied) = self.proxied.take() {
            proxied.end(outcome);
        }
    }

    fn abort(&mut self, outcome: Outcome, cause: io::Error) -> Polled<io::Error> {
        let fault = outcome.label();
        tracing::warn!(fault, error = %cause, "the response of the country's configuration service broke off");
        self.finish(outcome);
        Poll::Ready(Some(Err(cause)))
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<io::Error> {
        let this = self.get_mut();
        let traffic = &this.timer.traffic;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.awaits_service = false;
                traffic.touch();
                this.finish_if_ended();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                let aborted = traffic.caller_aborted();
                let outcome = if aborted { Outcome::Left } else { Outcome::BrokeOff };
                this.abort(outcome, io::Error::other(cause))
            }
            Poll::Ready(None) => {
                this.finish(Outcome::Answered);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if !this.awaits_service {
                    this.awaits_service = true;
                    traffic.touch();
                }
                ready!(this.timer.poll(context));
                this.abort(Outcome::Silent, io::ErrorKind::TimedOut.into())
            }
        }
    }
}
