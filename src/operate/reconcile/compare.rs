//! Compares both sides, and looks at each mismatch a second time.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::anyhow;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use secrecy::SecretString;

use super::mismatch::{Mismatch, Theirs};
use super::report::{ComparisonReport, NotCompared};
use crate::domain::order::is_older;
use crate::domain::{AttemptId, Dialect, RecordId, RecordState, State, TrackingId};
use crate::ledger::{Case, Ledger, LedgerError};
use crate::opencrvs::fhir::{FetchedRecord, Gateway, UserToken, WaitingRecord};
use crate::opencrvs::{FaultClass, OpencrvsFault};
use crate::roles::Failure;
use crate::seal::{Field, Sealer};

/// Attempts that are read from the ledger at a time.
const PAGE: usize = 200;
/// Records that are read from OpenCRVS concurrently.
const AT_ONCE: usize = 8;

pub(super) struct Comparison<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) gateway: &'a Gateway,
    pub(super) sealer: &'a Sealer,
    /// The token of a user who may list records.
    pub(super) user: Option<&'a UserToken>,
    /// Age below which a mismatch is not reported.
    pub(super) grace: Duration,
}

/// The result for one record.
pub(super) enum Compared {
    /// Both sides agree, or the record changed meanwhile.
    Agrees,
    Differs(Mismatch),
    NotRead(NotCompared),
}

impl Comparison<'_> {
    pub(super) async fn run(&self) -> Result<ComparisonReport, Failure> {
        let mut report = ComparisonReport::new(self.user);
        self.compare_open(&mut report).await?;
        if let Some(user) = self.user {
            self.compare_waiting(user, &mut report).await?;
        }
        Ok(report)
    }

    /// Checks that OpenCRVS waits for everything that is open here.
    async fn compare_open(&self, report: &mut ComparisonReport) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.ledger.unsettled_after(after, PAGE).await?;
            let Some(last) = page.last().copied() else { return Ok(()) };
            after = Some(last);
            let read: Vec<Compared> = stream::iter(page)
                .map(|attempt| self.compare_attempt(attempt))
                .buffer_unordered(AT_ONCE)
                .try_collect()
                .await?;
            let unreachable =
                |one: &Compared| matches!(one, Compared::NotRead(NotCompared::GatewayUnreachable));
            if read.iter().all(unreachable) {
                return Err(away(OpencrvsFault::Unreachable));
            }
            report.open += read.len();
            read.into_iter().for_each(|one| report.add(one));
        }
    }

    async fn compare_attempt(&self, attempt: AttemptId) -> Result<Compared, LedgerError> {
        let Some(case) = self.ledger.case(attempt).await?.filter(is_unsettled) else {
            return Ok(Compared::Agrees);
        };
        let theirs = match self.read(&case).await {
            Ok(seen) => Theirs::of(&case, &seen, self.ledger.stamp_tolerance()),
            Err(NotCompared::NotFound) => Some(Theirs::unknown(case.attempt.stamp)),
            Err(why) => return Ok(Compared::NotRead(why)),
        };
        // The age of a record that is dated in the future is counted from the acceptance.
        let Some(theirs) =
            theirs.filter(|theirs| self.is_old(theirs.since) && self.is_old(case.attempt.accepted_at))
        else {
            return Ok(Compared::Agrees);
        };
        // The confirmer may have finished the attempt meanwhile.
        let still = self.ledger.case(attempt).await?.filter(is_unsettled);
        Ok(still.map_or(Compared::Agrees, |case| Compared::Differs(Mismatch::not_waiting(&case, theirs))))
    }

    /// Reads a record with its own token, or with the user's token if its own is of no use.
    async fn read(&self, case: &Case) -> Result<FetchedRecord, NotCompared> {
        if case.record.dialect == Dialect::Events {
            return Err(NotCompared::EventsGeneration);
        }
        let own = match self.token(case) {
            Ok(token) => self.read_with(&token, &case.record.id).await,
            Err(why) => Err(why),
        };
        match (own, self.user) {
            (
                Err(NotCompared::Unsealable | NotCompared::TokenExpired | NotCompared::TokenRefused),
                Some(user),
            ) => self.read_with(&user.raw, &case.record.id).await,
            (own, _) => own,
        }
    }

    /// Reads a record with this token. Tries a second time after a fault that is not permanent.
    async fn read_with(&self, token: &SecretString, record: &RecordId) -> Result<FetchedRecord, NotCompared> {
        let first = self.gateway.read(token, record).await;
        let again = matches!(&first, Err(fault) if fault.class() != FaultClass::Permanent);
        let read = if again { self.gateway.read(token, record).await } else { first };
        read.map_err(|fault| NotCompared::of(&fault))
    }

    fn token(&self, case: &Case) -> Result<SecretString, NotCompared> {
        if case.attempt.token_expires_at.is_none_or(|end| end <= Timestamp::now()) {
            return Err(NotCompared::TokenExpired);
        }
        let sealed = case.attempt.sealed_token.as_deref().ok_or(NotCompared::TokenExpired)?;
        let plain =
            self.sealer.open(&case.record.id, Field::Token, sealed).map_err(|_| NotCompared::Unsealable)?;
        let text = std::str::from_utf8(&plain).map_err(|_| NotCompared::Unsealable)?;
        Ok(SecretString::from(text))
    }

    /// Checks that everything that waits in OpenCRVS is open here.
    async fn compare_waiting(&self, user: &UserToken, report: &mut ComparisonReport) -> Result<(), Failure> {
        let list = self.gateway.waiting(user).await.map_err(away)?;
        report.truncated = list.truncated;
        let mut seen = HashSet::new();
        let records: Vec<WaitingRecord> =
            list.records.into_iter().filter(|one| seen.insert(one.record.clone())).collect();
        report.waiting = Some(records.len());
        let reported: HashSet<String> = report.differences.iter().map(|one| one.record.clone()).collect();
        let read: Vec<Compared> = stream::iter(records)
            .filter(|one| std::future::ready(!reported.contains(one.record.as_str())))
            .map(|one| self.compare_record(user, one))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        read.into_iter().for_each(|one| report.add(one));
        Ok(())
    }

    async fn compare_record(&self, user: &UserToken, one: WaitingRecord) -> Result<Compared, LedgerError> {
        if self.ledger.newest_attempt(&one.record).await?.is_some_and(|case| is_unsettled(&case)) {
            return Ok(Compared::Agrees);
        }
        // The list may be out of date: the record may be registered by now.
        let seen = match self.read_with(&user.raw, &one.record).await {
            Ok(seen) if seen.status == RecordState::Waiting && self.is_old(seen.since) => seen,
            Ok(_) | Err(NotCompared::NotFound) => return Ok(Compared::Agrees),
            Err(why) => return Ok(Compared::NotRead(why)),
        };
        let case = self.ledger.newest_attempt(&one.record).await?;
        if case.as_ref().is_some_and(is_unsettled) {
            return Ok(Compared::Agrees);
        }
        let tracking_id = one.tracking_id.as_ref().map(TrackingId::as_str);
        Ok(Compared::Differs(Mismatch::not_open(&one.record, tracking_id, case.as_ref(), seen.since)))
    }

    fn is_old(&self, since: Timestamp) -> bool {
        is_older(since, self.grace, Timestamp::now(), self.ledger.stamp_tolerance())
    }
}

/// Whether the attempt is the newest one and waits for a stage or an operator.
fn is_unsettled(case: &Case) -> bool {
    let state = case.attempt.state;
    case.is_newest() && (state.is_open() || matches!(state, State::Parked | State::Held))
}

fn away(fault: OpencrvsFault) -> Failure {
    Failure::Unavailable(anyhow!("OpenCRVS cannot be read: {fault}"))
}
