//! What the services of the simulated OpenCRVS share.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::SimulateError;
use super::book::Book;
use super::faults::Faults;
use super::keys::{Claims, SigningKey};

pub(super) struct Core {
    key: Mutex<SigningKey>,
    book: Mutex<Book>,
    pub(super) faults: Faults,
    token_lifetime_s: i64,
}

impl Core {
    pub(super) fn new(token_lifetime_s: i64) -> Result<Self, SimulateError> {
        Ok(Self {
            key: Mutex::new(SigningKey::generate()?),
            book: Mutex::new(Book::default()),
            faults: Faults::default(),
            token_lifetime_s,
        })
    }

    pub(super) fn with_key<T>(&self, read: impl FnOnce(&SigningKey) -> T) -> T {
        read(&self.key.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn rotate_key(&self) -> Result<(), SimulateError> {
        let fresh = SigningKey::generate()?;
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = fresh;
        Ok(())
    }

    pub(super) fn with_book<T>(&self, change: impl FnOnce(&mut Book) -> T) -> T {
        change(&mut self.book.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn mint(&self, claims: &Claims) -> Result<String, SimulateError> {
        self.with_key(|key| key.sign(claims))
    }

    pub(super) fn record_claims(&self, registrar: &str, record: &str) -> Claims {
        Claims::record(registrar, record, Timestamp::now(), self.token_lifetime_s)
    }
}
