//! Keyed fingerprints of issued IDs, so that one ID on two records is noticed even after the IDs
//! have been erased.
//!
//! Invariant: the key belongs to the ledger: it is made once, stored sealed, and survives the
//! rotation of `SEAL_KEYS`.

use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sqlx::{AnyPool, Row as _};

use super::LedgerError;
use crate::seal::{Field, Sealer};

const NAME: &str = "fingerprint";

pub(super) struct Fingerprinter(hmac::Key);

impl Fingerprinter {
    pub(super) async fn load(pool: &AnyPool, sealer: &Sealer) -> Result<Self, LedgerError> {
        let mut fresh = [0_u8; 32];
        rand::fill(&mut fresh).map_err(|_| LedgerError::Key(crate::seal::SealError::Cipher))?;
        let sealed = sealer.seal_as(NAME, Field::LedgerKey, &fresh).map_err(LedgerError::Key)?;
        sqlx::query("INSERT INTO ledger_key (name, sealed) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING")
            .bind(NAME)
            .bind(sealed)
            .execute(pool)
            .await?;
        let row =
            sqlx::query("SELECT sealed FROM ledger_key WHERE name = $1").bind(NAME).fetch_one(pool).await?;
        let sealed: String = row.try_get("sealed")?;
        let key = sealer.open_as(NAME, Field::LedgerKey, &sealed).map_err(LedgerError::Key)?;
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, &key)))
    }

    /// An id that belongs to this ledger and its copies alone. It does not show the key.
    pub(super) fn deployment(&self) -> String {
        let signed = hmac::sign(&self.0, b"nidbridge deployment v1");
        let mut bytes = [0_u8; 16];
        bytes.iter_mut().zip(signed.as_ref()).for_each(|(to, from)| *to = *from);
        uuid::Builder::from_custom_bytes(bytes).into_uuid().to_string()
    }

    pub(super) fn of(&self, id: &str) -> String {
        URL_SAFE_NO_PAD.encode(hmac::sign(&self.0, id.as_bytes()))
    }
}
