//! Bodies on their way, piece by piece.
//!
//! Invariant: a silence that is too long, or a fault of the one side, is a fault of the stream, so that the other side
//! sees a body that broke off. A body that nobody reads to its end is read on here, so that its caller comes to the answer.

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

use super::passage::{Outcome, Passage};
use crate::front::body::discard;

type Polled<E> = Poll<Option<Result<Frame<Bytes>, E>>>;

/// What the two directions of a request know of each other.
pub(super) struct Traffic {
    begun: Instant,
    patience: Duration,
    /// When something moved last, in milliseconds from the beginning.
    moved: AtomicU64,
    /// What has not gone on yet of the caller's body.
    body: Mutex<Option<Body>>,
    /// Of whoever waits for more of it.
    waiter: AtomicWaker,
    awaited: AtomicBool,
    lost: AtomicBool,
}

impl Traffic {
    pub(super) fn begin(body: Body, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            begun: Instant::now(),
            patience,
            moved: AtomicU64::new(0),
            body: Mutex::new(Some(body).filter(|body| !body.is_end_stream())),
            waiter: AtomicWaker::new(),
            awaited: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        })
    }

    /// The rest of the caller's body is not wanted: it is read for nothing, so that its caller comes to the answer.
    pub(super) fn gives_up_the_rest(&self) {
        if let Some(rest) = self.body().take() {
            discard(rest, self.patience);
            self.waiter.wake();
        }
    }

    /// Whether it is the caller who is to speak.
    pub(super) fn caller_is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed)
    }

    /// Whether the caller has left in the middle of its body.
    pub(super) fn caller_is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    fn body(&self) -> MutexGuard<'_, Option<Body>> {
        self.body.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn moves(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.moved.store(since, Ordering::Relaxed);
    }

    fn silent_at(&self) -> Instant {
        self.begun + Duration::from_millis(self.moved.load(Ordering::Relaxed)) + self.patience
    }
}

/// Comes when nothing has moved for too long, in either direction.
pub(super) struct Silence {
    traffic: Arc<Traffic>,
    sleep: Pin<Box<Sleep>>,
}

impl Silence {
    pub(super) fn of(traffic: Arc<Traffic>) -> Self {
        Self { sleep: Box::pin(sleep_until(traffic.silent_at())), traffic }
    }

    /// What comes of a call, or `None` when the silence comes first.
    pub(super) async fn or<T>(&mut self, call: impl Future<Output = T>) -> Option<T> {
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
            let end = self.traffic.silent_at();
            if end <= Instant::now() {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(end);
        }
    }
}

/// The caller's body.
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
            let given_up = io::Error::new(io::ErrorKind::BrokenPipe, "the rest is not wanted");
            return Poll::Ready(Some(Err(axum::Error::new(given_up))));
        };
        let polled = Pin::new(&mut *body).poll_frame(context);
        traffic.awaited.store(polled.is_pending(), Ordering::Relaxed);
        let ended = match &polled {
            Poll::Pending => {
                traffic.waiter.register(context.waker());
                return Poll::Pending;
            }
            Poll::Ready(Some(Ok(_))) => body.is_end_stream(),
            Poll::Ready(Some(Err(_))) => {
                traffic.lost.store(true, Ordering::Relaxed);
                true
            }
            Poll::Ready(None) => true,
        };
        if ended {
            *slot = None;
        }
        traffic.moves();
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
        self.0.gives_up_the_rest();
    }
}

/// The body of an answer. It says nothing of its length: what the service said of it is in the headers, which also
/// speak of bodies that are not sent (HEAD, 304).
pub(super) struct Download {
    body: Incoming,
    /// Whether the service is to speak; a caller who takes its time is no silence of the service.
    awaited: bool,
    silence: Silence,
    passage: Option<Passage>,
}

impl Download {
    pub(super) fn of(body: Incoming, silence: Silence, passage: Passage) -> Self {
        let mut download = Self { body, awaited: false, silence, passage: Some(passage) };
        download.looks_for_its_end();
        download
    }

    /// The place is free before the caller has the last piece. Whoever reads a body of known length does not ask for
    /// what comes after it.
    fn looks_for_its_end(&mut self) {
        if self.body.is_end_stream() {
            self.ends(Outcome::Answered);
        }
    }

    fn ends(&mut self, outcome: Outcome) {
        self.silence.traffic.gives_up_the_rest();
        if let Some(passage) = self.passage.take() {
            passage.ends(outcome);
        }
    }

    fn breaks_off(&mut self, outcome: Outcome, cause: io::Error) -> Polled<io::Error> {
        let fault = outcome.label();
        tracing::warn!(fault, error = %cause, "the answer of the country's service broke off");
        self.ends(outcome);
        Poll::Ready(Some(Err(cause)))
    }
}

impl HttpBody for Download {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Polled<io::Error> {
        let this = self.get_mut();
        let traffic = &this.silence.traffic;
        match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.awaited = false;
                traffic.moves();
                this.looks_for_its_end();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(cause))) => {
                let lost = traffic.caller_is_lost();
                let outcome = if lost { Outcome::Left } else { Outcome::BrokeOff };
                this.breaks_off(outcome, io::Error::other(cause))
            }
            Poll::Ready(None) => {
                this.ends(Outcome::Answered);
                Poll::Ready(None)
            }
            Poll::Pending => {
                if !this.awaited {
                    this.awaited = true;
                    traffic.moves();
                }
                ready!(this.silence.poll(context));
                this.breaks_off(Outcome::Silent, io::ErrorKind::TimedOut.into())
            }
        }
    }
}
