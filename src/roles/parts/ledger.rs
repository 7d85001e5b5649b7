//! The ledger and the keys that it is sealed with.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;

use crate::config::Config;
use crate::ledger::{Ledger, LedgerError, LedgerSettings};
use crate::roles::Failure;
use crate::seal::Sealer;

/// How long a step waits for the ledger. After that time, its message goes to a delay queue.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) fn sealer(config: &Config) -> anyhow::Result<Arc<Sealer>> {
    Ok(Arc::new(Sealer::parse(&config.seal_keys).context("SEAL_KEYS cannot be used")?))
}

/// Opens the ledger of a role, and creates it if it does not exist.
pub(crate) async fn ledger(config: &Config, role: &str, sealer: &Sealer) -> Result<Ledger, Failure> {
    open(config, role, sealer, true).await
}

/// Opens the ledger for a command. Fails if there is no ledger.
pub(crate) async fn operators_ledger(
    config: &Config,
    command: &str,
    sealer: &Sealer,
) -> Result<Ledger, Failure> {
    open(config, command, sealer, false).await
}

async fn open(config: &Config, who: &str, sealer: &Sealer, create: bool) -> Result<Ledger, Failure> {
    let settings = LedgerSettings {
        url: config.ledger.url.clone(),
        connections: config.ledger.connections,
        timeout: LEDGER_TIMEOUT,
        stamp_tolerance: config.opencrvs.stamp_tolerance,
        who: format!("{who} {}", uuid::Uuid::new_v4().simple()),
        create,
    };
    Ledger::open(&settings, sealer).await.map_err(|fault| {
        if matches!(fault, LedgerError::Key(_)) {
            let fault = anyhow::Error::new(fault).context("SEAL_KEYS (seal.keys) is not of this ledger");
            return Failure::Misconfigured(fault);
        }
        let transient = fault.is_transient();
        let why = if create {
            "LEDGER_URL (ledger.url): the ledger cannot be opened"
        } else {
            "LEDGER_URL (ledger.url): there is no ledger that can be opened; name the one that the roles use"
        };
        let fault = anyhow::Error::new(fault).context(why);
        if transient { Failure::Unavailable(fault) } else { Failure::Failed(fault) }
    })
}
