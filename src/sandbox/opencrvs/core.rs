//! The state that the services of the simulated OpenCRVS share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::SimulateError;
use super::events::{EventsState, IDENTIFIER, Release};
use super::faults::Faults;
use super::keys::{Claims, SigningKey};
use super::records::Records;
use super::tally::{Counts, count};

pub(super) struct Core {
    key: Mutex<SigningKey>,
    records: Mutex<Records>,
    pub(super) faults: Faults,
    pub(super) events: EventsState,
    pub(super) exchange_refused: AtomicU64,
    pub(super) downloaded: AtomicU64,
    keys_rotated: AtomicU64,
    token_lifetime_s: i64,
    defined: Mutex<BTreeSet<String>>,
}

impl Core {
    pub(super) fn new(token_lifetime_s: i64, release: Release) -> Result<Self, SimulateError> {
        Ok(Self {
            key: Mutex::new(SigningKey::generate()?),
            records: Mutex::new(Records::default()),
            faults: Faults::default(),
            events: EventsState::new(release),
            exchange_refused: AtomicU64::new(0),
            downloaded: AtomicU64::new(0),
            keys_rotated: AtomicU64::new(0),
            token_lifetime_s,
            defined: Mutex::new(BTreeSet::from([IDENTIFIER.to_owned()])),
        })
    }

    pub(super) fn with_key<T>(&self, read: impl FnOnce(&SigningKey) -> T) -> T {
        read(&self.key.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn rotate_key(&self) -> Result<(), SimulateError> {
        let fresh = SigningKey::generate()?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        self.keys_rotated.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn with_records<T>(&self, change: impl FnOnce(&mut Records) -> T) -> T {
        change(&mut self.records.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn counts(&self) -> Counts {
        let (exchanged, unseen) = self.with_records(|records| {
            let confirms = records.all().flat_map(|(_, record)| &record.confirms);
            (records.exchanged().len(), confirms.filter(|confirm| confirm.fault.is_some()).count())
        });
        Counts {
            calls: self.faults.calls(),
            faults: self.faults.counts(),
            exchanged: count(exchanged),
            exchange_refused: self.exchange_refused.load(Ordering::Relaxed),
            downloaded: self.downloaded.load(Ordering::Relaxed),
            keys_rotated: self.keys_rotated.load(Ordering::Relaxed),
            confirmed_unseen: count(unseen),
        }
    }

    pub(super) fn mint(&self, claims: &Claims) -> Result<String, SimulateError> {
        self.with_key(|key| key.sign(claims))
    }

    /// The fields of the country's forms that the bridge might write.
    pub(super) fn defined(&self) -> BTreeSet<String> {
        self.defined.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn define(&self, fields: &[&str]) {
        let fields = fields.iter().map(|field| (*field).to_owned()).collect();
        *self.defined.lock().unwrap_or_else(PoisonError::into_inner) = fields;
    }

    pub(super) fn action_claims(&self, registrar: &str, event: &str, action: &str) -> Claims {
        let claims = match self.release_of(event) {
            Release::V1_9 => Claims::action_1_9,
            Release::V2_0 | Release::V2_1 => Claims::action,
        };
        claims(registrar, (event, action), Timestamp::now(), self.token_lifetime_s)
    }

    pub(super) fn record_claims(&self, registrar: &str, record: &str) -> Claims {
        Claims::record(registrar, record, Timestamp::now(), self.token_lifetime_s)
    }
}
