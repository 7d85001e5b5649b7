//! Registrations that OpenCRVS never had: any logged-in user can obtain a record token for any id,
//! and post a document of their own with it.
//!
//! Wire source: `opencrvs-fhir.md` and `opencrvs-events.md` (auth checks neither scope nor record
//! in the token exchange).
//!
//! Invariant: nothing of such a registration is stored, so every read answers that there is no such
//! record.

use jiff::Timestamp;
use url::Url;

use super::events::{Release, document};
use super::record::CallResult;
use super::records::{Records, Subject};
use super::{OpencrvsSim, SimulateError, SubmitOptions};
use crate::sandbox::population::{AttemptFacts, Declaration};

impl OpencrvsSim {
    /// Posts the declaration of an invented person to the front, with a valid token. Without a
    /// release it is a document of the FHIR generation.
    ///
    /// # Errors
    /// [`SimulateError`] when no token can be signed.
    pub async fn invent(
        &self,
        family: &Declaration,
        front: &Url,
        release: Option<Release>,
    ) -> Result<CallResult, SimulateError> {
        let registrar = format!("5f{:022x}", 0);
        let Some(release) = release else {
            let token = self.core.mint(&self.core.record_claims(&registrar, &family.record))?;
            let last_modified = super::record::iso(Timestamp::now());
            let bundle = family.bundle(&AttemptFacts { last_modified, earlier: Vec::new() });
            return Ok(self.caller.post(front, &token, &bundle).await);
        };
        let subject = Subject::of(family);
        let declaration = document::declaration(family);
        let (options, now) = (SubmitOptions::default(), Timestamp::now());
        let Some(requested) = Records::default().request(&subject, &declaration, &options, release, now)
        else {
            return Err(SimulateError::Document("free record id"));
        };
        let claims = if release.has_action_tokens() {
            self.core.action_claims(&registrar, &family.record, &requested.action)
        } else {
            self.core.service_claims()
        };
        let token = self.core.mint(&claims)?;
        Ok(self.caller.trigger(front, family.kind.name(), &token, &requested.event).await.0)
    }
}
