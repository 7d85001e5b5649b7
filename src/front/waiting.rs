//! The callers that wait for a sync answer, and the delivery of copies of answers to them.
//!
//! Invariant: the number of waiting callers is limited. A caller that hangs up is removed at once.
//! A copy that no caller waits for is dropped; the confirmer writes the answer in any case.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::broker::Listener;
use crate::domain::AttemptId;
use crate::pipeline::{AnswerMessage, Message as _};
use crate::telemetry::Metrics;

/// All callers that wait at one front.
#[derive(Debug)]
pub struct WaitingCallers {
    callers: Mutex<Callers>,
    limit: usize,
    /// Whether the front currently receives copies of answers.
    listening: AtomicBool,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Callers {
    /// An attempt has more than one caller if OpenCRVS repeats its request. The number tells the
    /// callers apart.
    by_attempt: HashMap<AttemptId, Vec<(u64, oneshot::Sender<AnswerMessage>)>>,
    count: usize,
    last_number: u64,
    /// The front is stopping, so no more callers wait.
    closed: bool,
}

impl WaitingCallers {
    pub fn new(limit: usize, metrics: Arc<Metrics>) -> Self {
        Self { callers: Mutex::default(), limit, listening: AtomicBool::new(false), metrics }
    }

    /// Registers a caller that waits for the answer to an attempt. `None` if it must not wait: the
    /// limit is reached, the front is stopping, or no copies of answers arrive.
    pub(super) fn register(self: &Arc<Self>, attempt: AttemptId) -> Option<WaitingCaller> {
        let refused = if self.listening.load(Ordering::Acquire) { None } else { Some("unheard") };
        let mut callers = self.lock();
        let refused = refused
            .or_else(|| callers.closed.then_some("stopped"))
            .or_else(|| (callers.count >= self.limit).then_some("full"));
        if let Some(outcome) = refused {
            self.metrics.waited(outcome);
            return None;
        }
        let (sender, answer) = oneshot::channel();
        callers.last_number = callers.last_number.wrapping_add(1);
        callers.count += 1;
        let number = callers.last_number;
        callers.by_attempt.entry(attempt).or_default().push((number, sender));
        self.metrics.waiting(callers.count);
        drop(callers);
        Some(WaitingCaller { all: Arc::clone(self), attempt, number, answer })
    }

    /// Ends every wait without an answer, and lets no more callers wait.
    pub(super) fn close(&self) {
        let mut callers = self.lock();
        callers.closed = true;
        callers.by_attempt.clear();
    }

    fn remove(&self, attempt: AttemptId, number: u64) {
        let mut callers = self.lock();
        if let Some(waiting) = callers.by_attempt.get_mut(&attempt) {
            waiting.retain(|(one, _)| *one != number);
            if waiting.is_empty() {
                callers.by_attempt.remove(&attempt);
            }
        }
        callers.count = callers.count.saturating_sub(1);
        self.metrics.waiting(callers.count);
    }

    fn lock(&self) -> MutexGuard<'_, Callers> {
        self.callers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for WaitingCallers {
    fn listening(&self, active: bool) {
        self.listening.store(active, Ordering::Release);
    }

    fn received(&self, body: &[u8]) {
        let Ok(message) = AnswerMessage::read(body) else {
            return tracing::warn!("a sync answer cannot be read: are all processes of one release?");
        };
        let waiting = self.lock().by_attempt.remove(&message.attempt).unwrap_or_default();
        for (_, caller) in waiting {
            // Fails if the caller has just hung up.
            drop(caller.send(message.clone()));
        }
    }
}

/// One waiting caller. Dropping this ends the wait.
#[derive(Debug)]
pub(super) struct WaitingCaller {
    all: Arc<WaitingCallers>,
    attempt: AttemptId,
    number: u64,
    answer: oneshot::Receiver<AnswerMessage>,
}

impl WaitingCaller {
    /// Waits for the answer. Returns `None` at the time `until`, or when the front stops.
    pub(super) async fn answer(mut self, until: Instant) -> Option<AnswerMessage> {
        let (answer, outcome) = match timeout_at(until, &mut self.answer).await {
            Ok(Ok(answer)) => (Some(answer), "answered"),
            Ok(Err(_)) => (None, "stopped"),
            Err(_) => (None, "late"),
        };
        self.all.metrics.waited(outcome);
        answer
    }
}

impl Drop for WaitingCaller {
    fn drop(&mut self) {
        self.all.remove(self.attempt, self.number);
    }
}
