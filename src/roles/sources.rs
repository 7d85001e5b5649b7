//! Reads the country's forms: watches whether they have the fields that registrations are read
//! from, and learns which fields have the dates of events.
//!
//! Invariant: until a check has found every field, a role is not ready while the forms are known to
//! lack one. If the forms cannot be read, or lose a field later, the role stays ready, because
//! other kinds of event and other requests do not depend on that field.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::admin::Condition;
use crate::domain::MissingSource;
use crate::opencrvs::events::{FormsFault, SourceCheck};

/// Variable and key of the setting.
pub(crate) const SETTING: &str = "FIELDS_EVENTS (fields.events)";
/// Pause after a check that found a fault or could not be done, unless `recheck` is shorter.
const PAUSE: Duration = Duration::from_secs(10);
/// Limit of the first check, which readiness waits for.
const FIRST: Duration = Duration::from_secs(5);

/// Checks until `stop` is cancelled.
pub(super) async fn watch(check: SourceCheck, ready: Condition, recheck: Duration, stop: CancellationToken) {
    let mut watch = Watch { ready, last: None, was_complete: false };
    let watching = async {
        loop {
            let checked = if watch.last.is_none() {
                let first = tokio::time::timeout(FIRST, check.missing()).await;
                first.unwrap_or(Err(FormsFault::Unavailable))
            } else {
                check.missing().await
            };
            let is_complete = watch.observe(checked);
            tokio::time::sleep(if is_complete { recheck } else { PAUSE.min(recheck) }).await;
        }
    };
    tokio::select! {
        () = watching => {}
        () = stop.cancelled() => {}
    }
}

/// Learns from the country's forms which fields have the dates of events, until `stop` is
/// cancelled. A country without events has no such forms, so a failure is tried again ever more
/// rarely.
pub(super) async fn learn_dates(check: SourceCheck, recheck: Duration, stop: CancellationToken) {
    let (mut is_known, mut pause) = (false, PAUSE.min(recheck));
    let learning = async {
        loop {
            if check.missing().await.is_ok() {
                if !is_known {
                    tracing::info!("the country's forms name the fields of the dates of events");
                }
                (is_known, pause) = (true, recheck);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(recheck);
        }
    };
    tokio::select! {
        () = learning => {}
        () = stop.cancelled() => {}
    }
}

struct Watch {
    ready: Condition,
    last: Option<Result<Vec<MissingSource>, FormsFault>>,
    was_complete: bool,
}

impl Watch {
    /// Logs what has changed since the last check and sets the readiness. Returns whether every
    /// field is there.
    fn observe(&mut self, checked: Result<Vec<MissingSource>, FormsFault>) -> bool {
        let is_new = self.last.as_ref() != Some(&checked);
        let is_complete = checked.as_ref().is_ok_and(Vec::is_empty);
        match &checked {
            Ok(missing) if missing.is_empty() => {
                self.was_complete = true;
                self.ready.set(true);
                if is_new {
                    tracing::info!("the country's forms have every field that registrations are read from");
                }
            }
            Ok(missing) => {
                if is_new {
                    tracing::error!("{}", fault(missing));
                }
                if !self.was_complete {
                    self.ready.set(false);
                }
            }
            Err(fault) => {
                if is_new {
                    tracing::warn!(
                        error = %fault,
                        "the country's forms could not be read: whether they have the fields of FIELDS_EVENTS is not known"
                    );
                }
                if self.last.is_none() {
                    self.ready.set(true);
                }
            }
        }
        self.last = Some(checked);
        is_complete
    }
}

/// Names the setting, the members and what to do.
pub(crate) fn fault(missing: &[MissingSource]) -> String {
    let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
    format!(
        "{SETTING}: {}; name the field that has it in this country (`child.name = child.nameEnglish`), or `none` if the \
         country does not record it",
        missing.join("; ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::Readiness;
    use crate::domain::{CountryForms, FieldSources};

    fn missing() -> Vec<MissingSource> {
        let sources = FieldSources::conventional(crate::domain::Dialect::Events);
        let mut forms = CountryForms::default();
        forms.fields.insert("birth".to_owned(), ["child.name", "child.dob"].map(str::to_owned).into());
        sources.missing(&forms)
    }

    #[test]
    fn a_role_is_not_ready_while_a_form_lacks_a_field_and_stays_ready_if_that_is_not_known() {
        let readiness = Readiness::new();
        let unavailable = || Err(FormsFault::Unavailable);
        let watch = || Watch { ready: readiness.condition("forms"), last: None, was_complete: false };
        let is_ready = || readiness.missing().is_empty();

        let mut first = watch();
        assert!(!is_ready(), "not before the first check");
        assert!(!first.observe(unavailable()) && is_ready());
        assert!(!first.observe(Ok(missing())) && !is_ready());
        assert!(!first.observe(unavailable()) && !is_ready(), "the fault is still the last that is known");
        assert!(first.observe(Ok(Vec::new())) && is_ready());
        assert!(!first.observe(Ok(missing())) && is_ready(), "it has worked, and serves more than this form");

        let mut second = watch();
        assert!(!second.observe(Ok(missing())) && !is_ready());
    }

    #[test]
    fn the_fault_names_setting_member_field_and_form() {
        let told = fault(&missing());
        let start = "FIELDS_EVENTS (fields.events): `child.gender` is read from `child.gender`, which the form of `birth` does not have;";
        assert!(told.starts_with(start), "{told}");
    }
}
