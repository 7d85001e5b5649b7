//! Judges a token that OpenCRVS refused: whether auth's key still verifies it.
//!
//! Invariant: [`KeyStore::judge`] never waits for a fetch.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::KeyStore;
use crate::opencrvs::token::issued_at;

/// What auth's key says about a token that OpenCRVS refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    /// The key verifies the token.
    Valid,
    /// The key that auth had after the token was issued does not verify it.
    Dead,
    /// Auth returned no key.
    NoKey,
    /// The key is being fetched: judge again after `refetch`.
    Pending,
}

impl KeyStore {
    /// Judges a token that OpenCRVS refused by the last fetch of the key. If that is missing, or
    /// older than `refetch`, a task fetches the key for all callers; no caller waits for it.
    pub async fn judge(self: &Arc<Self>, token: &str) -> Judgement {
        let last = self.last_result();
        let age = last.map_or(Duration::MAX, |last| last.ended.elapsed());
        if age >= self.refetch {
            self.fetch_in_background();
        }
        let Some(last) = last else { return Judgement::Pending };
        if !last.brought_key() {
            let is_outage = last.is_outage(age, self.refetch);
            return if is_outage { Judgement::NoKey } else { Judgement::Pending };
        }
        // An old key is good enough. A token that it does not verify is dead for ever, unless the
        // token is newer than the key; and the caller limits how often a token counts as valid.
        let Some(known) = self.known_key().await else { return Judgement::NoKey };
        if self.verify_by(&known, token).is_ok() {
            return Judgement::Valid;
        }
        // A newer key may have signed the token after the fetch began.
        if issued_at(token).is_some_and(|issued| last.may_be_too_old_for(issued, self.refetch)) {
            self.fetch_in_background();
            return Judgement::Pending;
        }
        Judgement::Dead
    }

    fn fetch_in_background(self: &Arc<Self>) {
        if self.fetching.swap(true, Ordering::AcqRel) {
            return;
        }
        let keys = Arc::clone(self);
        drop(tokio::spawn(async move {
            keys.fetch_key().await;
            keys.fetching.store(false, Ordering::Release);
        }));
    }
}
