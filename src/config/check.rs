//! Checks that involve more than one setting, or the role of the process.
//!
//! Invariant: what one role needs is checked for that role alone, so that roles can share one
//! environment. A command that checks for all roles, such as `nidbridge config check`, checks
//! everything.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::fault::SettingFault;
use super::reader::Reader;
use super::{Config, Part, settings};

/// The `proxy_read_timeout` in `deploy/nginx`.
const PROXY_TIMEOUT: Duration = Duration::from_secs(30);

impl Part {
    fn is(self, role: Self) -> bool {
        self == role || self == Self::All
    }
}

impl Config {
    pub(super) fn check(&self, part: Part, reader: &mut Reader<'_>) {
        let names_its_ledger = reader.is_set("ledger.url");
        let mut fault = |key: &str, why: String, fix: &str| {
            if let Some(setting) = settings().find(|setting| setting.key == key) {
                reader.fault(SettingFault::of(setting, why, fix));
            }
        };
        if part != Part::Tool && self.seal_keys.expose_secret().is_empty() {
            let fix = if part == Part::Operation {
                "give the command the keys of the roles"
            } else {
                "make one with `echo \"a:$(openssl rand -base64 32)\"` and give it to all processes"
            };
            fault("seal.keys", "is not set".to_owned(), fix);
        }
        // With the default, a separate process would make an empty ledger of its own, and consume
        // messages that belong to another ledger.
        if matches!(part, Part::Worker | Part::Confirmer) && !names_its_ledger {
            let fix = "name the ledger that the worker and the confirmer share (only `nidbridge all` has a default)";
            fault("ledger.url", "is not set".to_owned(), fix);
        }
        if self.opencrvs.connect_timeout > self.opencrvs.timeout {
            let (connect, timeout) = (self.opencrvs.connect_timeout, self.opencrvs.timeout);
            let why = format!("{connect:?} is longer than OPENCRVS_TIMEOUT ({timeout:?})");
            fault("opencrvs.connect_timeout", why, "make it shorter");
        }
        if self.breaker.pause > self.breaker.pause_max {
            let (pause, most) = (self.breaker.pause, self.breaker.pause_max);
            let why = format!("{pause:?} is longer than BREAKER_PAUSE_MAX ({most:?})");
            fault("breaker.pause", why, "make it shorter");
        }
        if part.is(Part::Front) {
            self.check_front(&mut fault);
        }
        if part.is(Part::Confirmer) {
            self.check_confirmer(&mut fault);
        }
        let registers = part.is(Part::Front) && self.opencrvs.register_client;
        if part.is(Part::Confirmer) || registers {
            self.check_client(registers, &mut fault);
        }
        let answers_in_the_request = part.is(Part::Front) && self.front.wait.longest().is_some();
        if part.is(Part::Confirmer) || answers_in_the_request {
            self.check_field(&mut fault);
        }
    }

    /// Combinations that are allowed but seldom intended.
    pub(super) fn warnings(&self, part: Part) -> Vec<String> {
        let mut warnings = Vec::new();
        if part.is(Part::Front)
            && let Some(wait) = self.front.wait.longest()
            && wait + self.front.hold >= PROXY_TIMEOUT
        {
            warnings.push(format!(
                "FRONT_WAIT ({wait:?}) and FRONT_HOLD ({:?}) together are not below {PROXY_TIMEOUT:?}, after which the shipped \
                 nginx tries another front: raise its proxy_read_timeout as well",
                self.front.hold
            ));
        }
        if part.is(Part::Front) && self.front.spool_unsigned {
            warnings.push(
                "FRONT_SPOOL_UNSIGNED is on: whoever can write to the spool (FRONT_SPOOL) can add and change registrations. Take it \
                 out once the registrations of the earlier release are published"
                    .to_owned(),
            );
        }
        if part.is(Part::Confirmer) && self.confirm.quarantine <= self.opencrvs.timeout {
            warnings.push(format!(
                "CONFIRM_QUARANTINE ({:?}) is not longer than OPENCRVS_TIMEOUT ({:?}): a write that OpenCRVS applies late \
                 could be repeated",
                self.confirm.quarantine, self.opencrvs.timeout
            ));
        }
        warnings
    }

    fn check_front(&self, fault: &mut impl FnMut(&str, String, &str)) {
        if self.front.events && self.front.spool.is_none() {
            let why = "is not set, but FRONT_EVENTS is on: OpenCRVS would lose the registrations that come while the \
                       broker is unavailable"
                .to_owned();
            fault("front.spool", why, "name a directory on a persistent disk that no other front uses");
        }
        if self.front.body_memory < self.front.max_body {
            let why = format!("{} bytes are less than one body of FRONT_MAX_BODY", self.front.body_memory);
            fault("front.body_memory", why, "make it at least as large");
        }
    }

    fn check_confirmer(&self, fault: &mut impl FnMut(&str, String, &str)) {
        if self.confirm.lease <= self.opencrvs.timeout {
            let (lease, timeout) = (self.confirm.lease, self.opencrvs.timeout);
            let why = format!("{lease:?} is not longer than OPENCRVS_TIMEOUT ({timeout:?})");
            fault("confirm.lease", why, "make it longer: a lease must outlast the call that it protects");
        }
    }

    fn check_client(&self, registers: bool, fault: &mut impl FnMut(&str, String, &str)) {
        let settings = &self.opencrvs;
        match (&settings.client_id, &settings.client_secret) {
            (Some(_), None) => {
                let why = "is not set, but OPENCRVS_CLIENT_ID is".to_owned();
                fault("opencrvs.client_secret", why, "set the secret of that client, or its file");
            }
            (None, Some(_)) => {
                let why = "is not set, but OPENCRVS_CLIENT_SECRET is".to_owned();
                fault("opencrvs.client_id", why, "set the id of that client");
            }
            (None, None) if settings.client_secret_next.is_some() => {
                let why = "is set without OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET".to_owned();
                fault("opencrvs.client_secret_next", why, "set these two as well");
            }
            (None, None) if registers => {
                let why = "is on, but OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET are not set".to_owned();
                let fix = "choose an id (such as `uuidgen` prints) and a secret, and give both to all roles";
                fault("opencrvs.register_client", why, fix);
            }
            (None, None) | (Some(_), Some(_)) => {}
        }
    }

    fn check_field(&self, fault: &mut impl FnMut(&str, String, &str)) {
        if self.confirm.fields.is_some() && self.confirm.identifier_field.is_some() {
            let why = "is set, and CONFIRM_FIELDS (confirm.fields) as well".to_owned();
            fault(
                "confirm.identifier_field",
                why,
                "keep CONFIRM_FIELDS, with `*: FIELD = id` for this field",
            );
        }
        if self.confirm.mapping().is_some() && self.opencrvs.country_config_url.is_none() {
            let why = format!(
                "is not set, but {} is: whether the forms define its fields cannot be checked",
                self.confirm.mapping_setting()
            );
            fault("opencrvs.country_config_url", why, "set the URL of the country's configuration service");
        }
    }
}
