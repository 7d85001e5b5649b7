//! Callers that wait for their answer, by attempt, and the copies of answers that reach them.
//!
//! Invariant: no more wait than are allowed, and none for longer than its caller: who goes away leaves nothing behind.
//! A copy that nobody waits for is dropped; the confirmer does its work in any case.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::broker::Listener;
use crate::domain::AttemptId;
use crate::pipeline::{AnswerMessage, MESSAGE_VERSION};
use crate::telemetry::Metrics;

/// All who wait at one front.
#[derive(Debug)]
pub struct Waiters {
    book: Mutex<Book>,
    most: usize,
    /// Whether copies come at the moment.
    listening: AtomicBool,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Book {
    /// More than one where a caller asks twice.
    by_attempt: HashMap<AttemptId, Vec<(u64, oneshot::Sender<AnswerMessage>)>>,
    count: usize,
    tickets: u64,
    /// Nobody waits any more: the front is to stop.
    closed: bool,
}

impl Waiters {
    /// For so many at a time.
    pub fn new(most: usize, metrics: Arc<Metrics>) -> Self {
        Self { book: Mutex::default(), most, listening: AtomicBool::new(false), metrics }
    }

    /// Takes a place for the answer to an attempt, before anybody could give it; without one, there is no use in waiting.
    pub(super) fn expect(self: &Arc<Self>, attempt: AttemptId) -> Option<WaitingCaller> {
        let refused = if self.listening.load(Ordering::Acquire) { None } else { Some("unheard") };
        let mut book = self.book();
        let refused = refused
            .or_else(|| book.closed.then_some("stopped"))
            .or_else(|| (book.count >= self.most).then_some("full"));
        if let Some(outcome) = refused {
            self.metrics.waited(outcome);
            return None;
        }
        let (sender, answer) = oneshot::channel();
        book.tickets = book.tickets.wrapping_add(1);
        book.count += 1;
        let ticket = book.tickets;
        book.by_attempt.entry(attempt).or_default().push((ticket, sender));
        self.metrics.waiting(book.count);
        drop(book);
        Some(WaitingCaller { waiters: Arc::clone(self), attempt, ticket, answer })
    }

    /// Sends all who wait away without an answer, and lets nobody wait any more.
    pub(super) fn close(&self) {
        let mut book = self.book();
        book.closed = true;
        book.by_attempt.clear();
    }

    fn leave(&self, attempt: AttemptId, ticket: u64) {
        let mut book = self.book();
        if let Some(waiting) = book.by_attempt.get_mut(&attempt) {
            waiting.retain(|(one, _)| *one != ticket);
            if waiting.is_empty() {
                book.by_attempt.remove(&attempt);
            }
        }
        book.count = book.count.saturating_sub(1);
        self.metrics.waiting(book.count);
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Waiters {
    fn listening(&self, active: bool) {
        self.listening.store(active, Ordering::Release);
    }

    fn received(&self, body: &[u8]) {
        let message = match serde_json::from_slice::<AnswerMessage>(body) {
            Ok(message) if message.v == MESSAGE_VERSION => message,
            Ok(_) | Err(_) => {
                return tracing::warn!(
                    "a copy of an answer cannot be read: are all processes of one release?"
                );
            }
        };
        let waiting = self.book().by_attempt.remove(&message.attempt).unwrap_or_default();
        for (_, waiter) in waiting {
            // Whoever has just gone away needs no answer.
            drop(waiter.send(message.clone()));
        }
    }
}

/// A place among those who wait.
#[derive(Debug)]
pub(super) struct WaitingCaller {
    waiters: Arc<Waiters>,
    attempt: AttemptId,
    ticket: u64,
    answer: oneshot::Receiver<AnswerMessage>,
}

impl WaitingCaller {
    /// Waits for the answer, until then.
    pub(super) async fn answer(mut self, until: Instant) -> Option<AnswerMessage> {
        let (answer, outcome) = match timeout_at(until, &mut self.answer).await {
            Ok(Ok(answer)) => (Some(answer), "answered"),
            Ok(Err(_)) => (None, "stopped"),
            Err(_) => (None, "late"),
        };
        self.waiters.metrics.waited(outcome);
        answer
    }
}

impl Drop for WaitingCaller {
    fn drop(&mut self) {
        self.waiters.leave(self.attempt, self.ticket);
    }
}
