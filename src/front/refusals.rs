//! Notices that the front refuses every registration, as it does with the wrong `AUTH_URL`, with a
//! wrong clock, or after an upgrade of OpenCRVS that it does not understand.
//!
//! Invariant: a registration that is accepted ends the notice. A refusal that asks the caller to
//! try again later does not count.

use std::sync::Mutex;
use std::sync::PoisonError;

use tokio::sync::watch;

use super::Refusal;

/// Number of refusals in a row that is not a coincidence.
const MANY: u32 = 20;

/// Counts refusals in a row.
#[derive(Debug)]
pub(super) struct Refusals {
    in_a_row: Mutex<u32>,
    /// Why the last of many registrations in a row was refused.
    notice: watch::Sender<Option<String>>,
}

impl Refusals {
    pub(super) fn new(notice: watch::Sender<Option<String>>) -> Self {
        Self { in_a_row: Mutex::new(0), notice }
    }

    pub(super) fn refused(&self, refusal: &Refusal) {
        if refusal.status().is_server_error() {
            return;
        }
        let mut in_a_row = self.in_a_row.lock().unwrap_or_else(PoisonError::into_inner);
        *in_a_row = in_a_row.saturating_add(1);
        if *in_a_row >= MANY {
            let why = format!(
                "the last {MANY} registrations or more were refused; the last one, because {refusal}"
            );
            self.notice.send_if_modified(|notice| {
                let is_new = notice.as_ref() != Some(&why);
                *notice = Some(why);
                is_new
            });
        }
    }

    pub(super) fn accepted(&self) {
        let mut in_a_row = self.in_a_row.lock().unwrap_or_else(PoisonError::into_inner);
        *in_a_row = 0;
        self.notice.send_if_modified(|notice| notice.take().is_some());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::opencrvs::TokenFault;

    fn refusals() -> (Refusals, watch::Receiver<Option<String>>) {
        let (notice, noticed) = watch::channel(None);
        (Refusals::new(notice), noticed)
    }

    fn refuse(refusals: &Refusals, times: u32) {
        for _ in 0..times {
            refusals.refused(&Refusal::Token(TokenFault::Expired));
        }
    }

    #[test]
    fn only_refusals_without_an_acceptance_between_them_are_noticed() {
        let (refusals, noticed) = refusals();
        refuse(&refusals, MANY - 1);
        refusals.accepted();
        refuse(&refusals, MANY - 1);
        assert_eq!(*noticed.borrow(), None);
        refuse(&refusals, 1);
        let notice = noticed.borrow().clone().unwrap();
        assert!(notice.contains("the token has expired"), "{notice}");
        refusals.accepted();
        assert_eq!(*noticed.borrow(), None);
    }

    #[test]
    fn a_refusal_for_the_time_being_does_not_count() {
        let (refusals, noticed) = refusals();
        refuse(&refusals, MANY - 1);
        for _ in 0..MANY {
            refusals.refused(&Refusal::BrokerAway);
        }
        assert_eq!(*noticed.borrow(), None);
    }
}
