//! Replaces record tokens: finds the records that need one, exchanges the user's token for it, and
//! resumes the attempts that were parked for it.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use secrecy::{ExposeSecret as _, SecretString};

use super::ReplaceArgs;
use crate::confirmer::action_of;
use crate::domain::{AttemptId, Dialect, RecordId, State};
use crate::ledger::{Case, Ledger, Replaced};
use crate::opencrvs::{KeyStore, RenewalFault, TokenExchange};
use crate::operate::output;
use crate::operate::session::Session;
use crate::operate::tally::{Miss, Tally};
use crate::pipeline::NextHop;
use crate::pipeline::stage::chain;
use crate::roles::Failure;
use crate::seal::{Field, Sealer};

/// Attempts that are read from the ledger at a time.
const PAGE: usize = 200;

pub(super) struct Replacement {
    pub(super) ledger: Ledger,
    pub(super) sealer: Arc<Sealer>,
    pub(super) keys: KeyStore,
    pub(super) exchange: TokenExchange,
    /// The user's token.
    pub(super) subject: SecretString,
    pub(super) tally: Tally,
    pub(super) resumed: Vec<AttemptId>,
    /// Attempts that wait in a delay queue, perhaps because of the old token. They are tried at
    /// once.
    pub(super) woken: Vec<AttemptId>,
}

impl Replacement {
    pub(super) async fn all(&mut self, args: &ReplaceArgs) -> Result<(), Failure> {
        for record in &args.record {
            match self.ledger.newest_attempt(record).await? {
                Some(case) => self.one(&case).await?,
                None => self.miss(record, "the ledger does not have this record")?,
            }
        }
        if args.all_orphaned { self.all_orphaned().await } else { Ok(()) }
    }

    async fn all_orphaned(&mut self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = self.ledger.needing_token(after, PAGE).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some(*last);
            for attempt in page {
                if let Some(case) = self.ledger.case(attempt).await? {
                    self.one(&case).await?;
                }
            }
        }
    }

    async fn one(&mut self, case: &Case) -> Result<(), Failure> {
        let (record, state) = (&case.record.id, case.attempt.state);
        if !state.is_open() && ![State::Parked, State::Held].contains(&state) {
            return self.miss(record, &format!("needs no token: its newest attempt is {}", state.as_str()));
        }
        if case.attempt.sealed_token.is_none() {
            return self.miss(record, "has no token to replace: the bridge's client answers it");
        }
        // In the events generation a token is for one action.
        let action = action_of(&self.sealer, case);
        if action.is_none() && case.record.dialect == Dialect::Events {
            return self
                .miss(record, "no key of SEAL_KEYS opens its old token, and only that names the action");
        }
        let renewed = self.exchange.renew(&self.keys, record, action.as_ref(), &self.subject).await;
        let token = match renewed {
            Ok(token) => token,
            Err(RenewalFault::Refused) => {
                return Err(Failure::Failed(anyhow!(
                    "auth refuses the user's token: take a new one, of a user who is active and logged in now"
                )));
            }
            Err(fault) if fault.is_transient() => return Err(Failure::Unavailable(anyhow!(fault))),
            Err(fault) => return self.miss(record, &chain(&fault)),
        };
        let plain = token.raw.expose_secret().as_bytes();
        let sealed = self.sealer.seal(record, Field::Token, plain).context("the token cannot be sealed")?;
        let until = token.expires_at;
        match self.ledger.replace_token(case, &sealed, until).await? {
            Replaced::Done => {
                self.tally.add_done();
                // A request that was sent needs no token until its answer is there.
                if matches!(state, State::Received | State::Answered) {
                    self.woken.push(case.attempt.id);
                }
                output::line(&format!("{record}: has a token until {until}"))
            }
            Replaced::Resumed => {
                self.tally.add_done();
                self.resumed.push(case.attempt.id);
                output::line(&format!("{record}: has a token until {until} and goes on"))
            }
            Replaced::Moved => self.tally.miss(Miss::TryAgain, record, "was changed at the same moment"),
        }
    }

    fn miss(&mut self, record: &RecordId, why: &str) -> Result<(), Failure> {
        self.tally.miss(Miss::Failed, record, why)
    }

    /// Publishes the attempts that were resumed or woken. The ledger has them already, so a
    /// worker's sweep publishes them later if the broker is away now.
    pub(super) async fn publish_resumed(&self, session: &mut Session) {
        if self.resumed.is_empty() && self.woken.is_empty() {
            return;
        }
        let next = match session.next_hop(&self.ledger).await {
            Ok(next) => next,
            Err(why) => {
                tracing::warn!(error = %why, "the resumed attempts are published by a later sweep");
                return;
            }
        };
        for attempt in self.resumed.iter().chain(&self.woken) {
            if let Err(why) = self.publish(&next, *attempt).await {
                tracing::warn!(attempt.id = %attempt, error = why, "this attempt is published by a later sweep");
            }
        }
    }

    async fn publish(&self, next: &NextHop, attempt: AttemptId) -> Result<(), String> {
        let case = self.ledger.case(attempt).await.map_err(|fault| chain(&fault))?;
        match case {
            Some(case) => next.drive(&case).await.map_err(|fault| chain(&fault)),
            None => Ok(()),
        }
    }
}
