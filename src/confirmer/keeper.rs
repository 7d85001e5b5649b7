//! The keeper: keeps the tokens of open attempts alive, and sees at once when auth's key no longer vouches for them.
//!
//! Of all confirmers of an installation one keeps, by a lease in the ledger. In each turn it asks auth for its key, has
//! every token judged that this key has not judged yet, and exchanges those of whose life enough has gone.
//!
//! Invariant: it stops at the first sign that auth is away; a token is replaced only by one that was verified, that is
//! for the same record and that lives longer; it holds up nothing that writes to OpenCRVS.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::token_of;
use crate::domain::{AttemptId, Cause};
use crate::ledger::{Case, Ledger, RenewalRule, TokenChange, TokenCheck};
use crate::opencrvs::{KeyId, KeyStore, RenewalFault, TokenExchange, TokenFault, action_of};
use crate::pipeline::elected::{ElectedTask, Election, Halt, Leadership, OnStop, Report, run_elected};
use crate::pipeline::stage::{StageFault, chain};
use crate::seal::{Field, SealError, Sealer};
use crate::telemetry::Metrics;

/// The lease that makes a keeper the only one.
const LEASE: &str = "tokens";
/// One call to auth with its time limit, and some slack.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// A token that auth refuses to renew though it is good is tried again after this share of what it has left.
const SHARE: u32 = 8;

/// How the keeper goes about it.
#[derive(Debug, Clone, Copy)]
pub struct KeeperRules {
    /// How often it turns.
    pub interval: Duration,
    /// How many tokens it renews in one turn, at most.
    pub batch: usize,
    /// Which tokens are due.
    pub fresh: RenewalRule,
    /// The longest time that a call to auth takes.
    pub call: Duration,
}

/// Keeps tokens.
pub struct Keeper {
    /// Whose tokens.
    pub ledger: Ledger,
    /// Opens and seals them.
    pub sealer: Arc<Sealer>,
    /// Auth's key.
    pub keys: KeyStore,
    /// Auth's token exchange.
    pub exchange: TokenExchange,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// How to go about it.
    pub rules: KeeperRules,
}

/// Why a turn ended early.
#[derive(Debug, thiserror::Error)]
enum KeeperFault {
    #[error("auth gives no key: check AUTH_URL and that auth is up")]
    NoKey,
    #[error(transparent)]
    Auth(RenewalFault),
    #[error("a renewed token could not be sealed")]
    Seal(#[source] SealError),
}

impl From<KeeperFault> for Halt {
    fn from(fault: KeeperFault) -> Self {
        Self::Task(Box::new(fault))
    }
}

impl ElectedTask for &Keeper {
    async fn turn(&mut self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        self.judge_all(leadership).await?;
        self.renew_due(leadership).await
    }
}

impl Keeper {
    /// Its name in logs.
    pub const NAME: &'static str = "tokens";

    /// Runs until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let election = Election {
            stage: Self::NAME,
            lease: LEASE,
            ttl: LEASE_FLOOR + (self.rules.interval + self.rules.call) * 2,
            interval: self.rules.interval,
            // A call to auth may take longer than a process has to stop.
            on_stop: OnStop::Abandon,
            report: Report::EachFailure,
        };
        let mut task = self;
        run_elected(&mut task, &self.ledger, election, stop).await;
    }

    async fn key(&self) -> Result<KeyId, Halt> {
        self.keys.fetch_key().await.ok_or(KeeperFault::NoKey.into())
    }

    /// Has every token judged that auth's present key has not judged yet.
    async fn judge_all(&self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let mut key = self.key().await?;
        loop {
            let page = self.ledger.unchecked_tokens(key.as_str(), self.rules.batch).await?;
            if page.is_empty() {
                return Ok(());
            }
            let mut strangers = Vec::new();
            for attempt in page {
                leadership.check().await?;
                strangers.extend(self.judge(attempt, &key).await?);
            }
            if strangers.is_empty() {
                continue;
            }
            // They may be of a key that is newer than the one that we know.
            let newest = self.key().await?;
            if newest == key {
                for case in &strangers {
                    leadership.check().await?;
                    self.orphaned(case, &key).await?;
                }
            }
            key = newest;
        }
    }

    /// Writes down that a token is good; returns the case of one that is not auth's.
    async fn judge(&self, attempt: AttemptId, key: &KeyId) -> Result<Option<Case>, Halt> {
        let Some(case) = self.ledger.case(attempt).await? else { return Ok(None) };
        if let Some(token) = self.open(&case)
            && self.is_strange(&token, key).await
        {
            return Ok(Some(case));
        }
        // One that does not open is the confirmer's to park.
        self.ledger.token_checked(&case, key.as_str(), TokenCheck::Valid).await?;
        self.metrics.token("judged");
        Ok(None)
    }

    async fn orphaned(&self, case: &Case, key: &KeyId) -> Result<(), Halt> {
        if self.ledger.token_checked(case, key.as_str(), TokenCheck::Orphaned).await?
            == TokenChange::NewlyOrphaned
        {
            self.metrics.alarm(Cause::TokenOrphaned);
            self.metrics.token("orphaned");
            tracing::error!(
                stage = Self::NAME, record.id = %case.record.id, attempt.id = %case.attempt.id,
                cause = Cause::TokenOrphaned.as_str(),
                "auth's key was changed and no longer vouches for the token: replace it with `nidbridge tokens replace`"
            );
        }
        Ok(())
    }

    async fn renew_due(&self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        for attempt in self.ledger.renewable(self.rules.fresh, self.rules.batch).await? {
            leadership.check().await?;
            let Some(case) = self.ledger.case(attempt).await? else { continue };
            let Some(token) = self.open(&case) else {
                self.put_off(&case).await?;
                continue;
            };
            let outcome = self.renew(&case, &token).await?;
            self.metrics.token(outcome);
        }
        Ok(())
    }

    async fn renew(&self, case: &Case, token: &SecretString) -> Result<&'static str, Halt> {
        let fresh =
            match self.exchange.renew(&self.keys, &case.record.id, action_of(token).as_ref(), token).await {
                Ok(fresh) => fresh,
                Err(RenewalFault::Refused) => return self.refused(case, token).await,
                Err(fault) if fault.is_transient() => {
                    self.metrics.token("away");
                    return Err(KeeperFault::Auth(fault).into());
                }
                Err(fault) => {
                    tracing::warn!(
                        stage = Self::NAME, record.id = %case.record.id, error = %chain(&fault), "not renewed"
                    );
                    self.put_off(case).await?;
                    return Ok("refused");
                }
            };
        let sealed = self
            .sealer
            .seal(&case.record.id, Field::Token, fresh.raw.expose_secret().as_bytes())
            .map_err(KeeperFault::Seal)?;
        if self.ledger.renew_token(case, &sealed, fresh.expires_at).await? {
            tracing::info!(
                stage = Self::NAME, record.id = %case.record.id, attempt.id = %case.attempt.id,
                until = %fresh.expires_at, "token renewed"
            );
            return Ok("renewed");
        }
        self.put_off(case).await?;
        Ok("no_longer")
    }

    /// Auth says no: its key was changed this very moment, or it is in a trouble of its own.
    async fn refused(&self, case: &Case, token: &SecretString) -> Result<&'static str, Halt> {
        let key = self.key().await?;
        if self.is_strange(token, &key).await {
            self.orphaned(case, &key).await?;
        } else {
            self.put_off(case).await?;
        }
        Ok("refused")
    }

    /// Whether a token does not verify with this key, or another key is known by now.
    async fn is_strange(&self, token: &SecretString, key: &KeyId) -> bool {
        match self.keys.verify_with(token.expose_secret(), key).await {
            Some(verdict) => verdict.err() == Some(TokenFault::Signature),
            None => true,
        }
    }

    async fn put_off(&self, case: &Case) -> Result<(), Halt> {
        let left = case.attempt.token_expires_at.duration_since(Timestamp::now());
        let left = Duration::try_from(left).unwrap_or_default();
        Ok(self.ledger.postpone_renewal(case, (left / SHARE).max(self.rules.interval)).await?)
    }

    fn open(&self, case: &Case) -> Option<SecretString> {
        token_of(&self.sealer, case).inspect_err(|fault| self.unopened(case, fault)).ok()
    }

    fn unopened(&self, case: &Case, fault: &StageFault) {
        tracing::warn!(
            stage = Self::NAME, record.id = %case.record.id, error = %chain(fault), "the token does not open"
        );
    }
}
