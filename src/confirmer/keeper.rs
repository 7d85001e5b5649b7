//! The token keeper: renews the record tokens of open attempts, and notices when auth's key no
//! longer verifies one.
//!
//! One confirmer of an installation runs it, elected by a lease in the ledger. Each turn fetches
//! auth's key, checks every token that was not checked with this key yet, and renews each token
//! once enough of its lifetime has passed.
//!
//! Invariant: a turn ends at the first sign that auth is unavailable; a token is replaced only by a
//! verified token that is for the same record and valid for longer; the keeper never delays a write
//! to OpenCRVS.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use secrecy::{ExposeSecret as _, SecretString};
use tokio_util::sync::CancellationToken;

use super::{ClientMonitor, token_of};
use crate::domain::{AttemptId, Cause, Dialect};
use crate::ledger::{Case, Ledger, RenewalRule, TokenChange, TokenCheck};
use crate::opencrvs::{KeyId, KeyStore, RenewalFault, TokenExchange, TokenFault, action_of};
use crate::pipeline::elected::{ElectedTask, Election, Halt, Leadership, OnStop, Report, run_elected};
use crate::pipeline::stage::{StageFault, chain};
use crate::seal::{Field, SealError, Sealer};
use crate::telemetry::Metrics;

/// Name of the lease that elects the keeper.
const LEASE: &str = "tokens";
/// Added to the lease, so that it outlasts a slow turn even if interval and timeout are short.
const LEASE_FLOOR: Duration = Duration::from_secs(5);
/// A valid token that auth refuses to renew is tried again after 1/8 of its remaining lifetime.
const RETRY_SHARE: u32 = 8;

#[derive(Debug, Clone, Copy)]
pub struct KeeperRules {
    /// Time between two turns.
    pub interval: Duration,
    /// Limit of tokens renewed in one turn, and of tokens read from the ledger at a time.
    pub batch: usize,
    /// Which tokens are due for renewal.
    pub due: RenewalRule,
    /// Timeout of a call to auth.
    pub call_timeout: Duration,
}

pub struct Keeper {
    pub ledger: Ledger,
    pub sealer: Arc<Sealer>,
    pub keys: KeyStore,
    pub exchange: TokenExchange,
    /// The bridge's own client in OpenCRVS, if one is configured.
    pub client: Option<Arc<ClientMonitor>>,
    pub metrics: Arc<Metrics>,
    pub rules: KeeperRules,
}

/// Why a turn ended early.
#[derive(Debug, thiserror::Error)]
enum KeeperFault {
    #[error("auth did not return its public key: check AUTH_URL and that auth is up")]
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
        self.check_all(leadership).await?;
        self.renew_due(leadership).await
    }
}

impl Keeper {
    /// Name in logs.
    pub const NAME: &'static str = "tokens";

    /// Runs until `stop` is cancelled.
    pub async fn run(&self, stop: &CancellationToken) {
        let election = Election {
            stage: Self::NAME,
            lease: LEASE,
            ttl: LEASE_FLOOR + (self.rules.interval + self.rules.call_timeout) * 2,
            interval: self.rules.interval,
            // A call to auth may take longer than the time that a process has to stop.
            on_stop: OnStop::Abandon,
            report: Report::EachFailure,
        };
        let mut task = self;
        run_elected(&mut task, &self.ledger, election, stop).await;
    }

    /// The generation whose tokens are looked after; `None` for both. The action tokens are not
    /// needed while the client may answer. (OpenCRVS 2.1 could not exchange them: it has no token
    /// exchange.)
    fn only(&self) -> Option<Dialect> {
        self.client.as_ref().is_some_and(|client| client.may_answer()).then_some(Dialect::Fhir)
    }

    async fn fetch_key(&self) -> Result<KeyId, Halt> {
        self.keys.fetch_key().await.ok_or(KeeperFault::NoKey.into())
    }

    /// Checks every token that was not checked with auth's current key yet.
    async fn check_all(&self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        let mut key = self.fetch_key().await?;
        loop {
            let page = self.ledger.unchecked_tokens(key.as_str(), self.only(), self.rules.batch).await?;
            if page.is_empty() {
                return Ok(());
            }
            let mut unverified = Vec::new();
            for attempt in page {
                leadership.check().await?;
                unverified.extend(self.check(attempt, &key).await?);
            }
            if unverified.is_empty() {
                continue;
            }
            // These tokens may be signed with a key that is newer than the fetched one.
            let newest = self.fetch_key().await?;
            if newest == key {
                for case in &unverified {
                    leadership.check().await?;
                    self.report_orphaned(case, &key).await?;
                }
            }
            key = newest;
        }
    }

    /// Checks one token and records that it is valid. Returns the case if the key does not verify
    /// its token.
    async fn check(&self, attempt: AttemptId, key: &KeyId) -> Result<Option<Case>, Halt> {
        let Some(case) = self.ledger.case(attempt).await? else { return Ok(None) };
        if let Some(token) = self.unseal(&case)
            && !self.is_verified(&token, key).await
        {
            return Ok(Some(case));
        }
        // A token that cannot be unsealed counts as checked: the confirmer parks its attempt.
        self.ledger.token_checked(&case, key.as_str(), TokenCheck::Valid).await?;
        self.metrics.token("judged");
        Ok(None)
    }

    async fn report_orphaned(&self, case: &Case, key: &KeyId) -> Result<(), Halt> {
        if self.ledger.token_checked(case, key.as_str(), TokenCheck::Orphaned).await?
            == TokenChange::NewlyOrphaned
        {
            self.metrics.alarm(Cause::TokenOrphaned);
            self.metrics.token("orphaned");
            tracing::error!(
                stage = Self::NAME, record.id = %case.record.id, attempt.id = %case.attempt.id,
                cause = Cause::TokenOrphaned.as_str(),
                "auth's key was changed and does not verify the token any more: replace it with `nidbridge tokens replace`"
            );
        }
        Ok(())
    }

    async fn renew_due(&self, leadership: &mut Leadership<'_>) -> Result<(), Halt> {
        for attempt in self.ledger.renewable(self.rules.due, self.only(), self.rules.batch).await? {
            leadership.check().await?;
            let Some(case) = self.ledger.case(attempt).await? else { continue };
            let Some(token) = self.unseal(&case) else {
                self.postpone(&case).await?;
                continue;
            };
            let outcome = self.renew(&case, &token).await?;
            self.metrics.token(outcome);
        }
        Ok(())
    }

    async fn renew(&self, case: &Case, token: &SecretString) -> Result<&'static str, Halt> {
        let fresh = match self
            .exchange
            .renew(&self.keys, &case.record.id, action_of(token).as_ref(), token)
            .await
        {
            Ok(fresh) => fresh,
            Err(RenewalFault::Refused) => return self.refused(case, token).await,
            Err(fault) if fault.is_transient() => {
                self.metrics.token("away");
                return Err(KeeperFault::Auth(fault).into());
            }
            Err(fault) => {
                tracing::warn!(
                    stage = Self::NAME, record.id = %case.record.id, error = %chain(&fault), "the token could not be renewed: it is tried again later"
                );
                self.postpone(case).await?;
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
        self.postpone(case).await?;
        Ok("no_longer")
    }

    /// Handles auth's refusal to renew a token that was valid a moment ago: auth's key was changed
    /// just now, or auth is in trouble.
    async fn refused(&self, case: &Case, token: &SecretString) -> Result<&'static str, Halt> {
        // Concurrent refusals share one fetch: after a change of the key, auth refuses every token.
        let key = self.keys.recent_key().await.ok_or(KeeperFault::NoKey)?;
        if self.is_verified(token, &key).await {
            self.postpone(case).await?;
        } else {
            self.report_orphaned(case, &key).await?;
        }
        Ok("refused")
    }

    /// Whether this key matches the token's signature. Also `false` if the known key has changed.
    async fn is_verified(&self, token: &SecretString, key: &KeyId) -> bool {
        match self.keys.verify_with(token.expose_secret(), key).await {
            Some(verdict) => verdict.err() != Some(TokenFault::Signature),
            None => false,
        }
    }

    async fn postpone(&self, case: &Case) -> Result<(), Halt> {
        let left = case.attempt.token_expires_at.map(|end| end.duration_since(Timestamp::now()));
        let left = left.and_then(|left| Duration::try_from(left).ok()).unwrap_or_default();
        Ok(self.ledger.postpone_renewal(case, (left / RETRY_SHARE).max(self.rules.interval)).await?)
    }

    fn unseal(&self, case: &Case) -> Option<SecretString> {
        let log = |fault: &StageFault| {
            tracing::warn!(
                stage = Self::NAME, record.id = %case.record.id, error = %chain(fault),
                "the token cannot be unsealed"
            );
        };
        token_of(&self.sealer, case).inspect_err(log).ok()
    }
}
