//! What can be observed from outside: metrics, health, and the ledger's history of a record.

use nidbridge::domain::{EventKind, RecordId, RequestId};
use nidbridge::ledger::HistoryEntry;
use nidbridge::sandbox::population::Declaration;

use super::super::http;
use super::World;

impl World {
    /// Status and body of a path on the admin listener of a role.
    pub fn admin(&self, role: &'static str, path: &str) -> Option<(u16, String)> {
        http::get(self.admin[role], path)
    }

    pub fn metrics_text(&self, role: &'static str) -> String {
        self.admin(role, "/metrics").map(|(_, text)| text).unwrap_or_default()
    }

    /// The sum of a metric of a role over all lines that contain `with`.
    pub fn metric(&self, role: &'static str, name: &str, with: &str) -> f64 {
        self.metrics_text(role)
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(with))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum()
    }

    /// The history of a record in the ledger, oldest entry first.
    pub async fn history(&self, record: &str) -> Vec<HistoryEntry> {
        self.ledger.history(&RecordId::parse(record).unwrap()).await.expect("the history")
    }

    /// The registration number of a record: the year (UTC) in which the first attempt was accepted,
    /// then the tracking id.
    pub async fn number_of(&self, declaration: &Declaration) -> String {
        let record = RecordId::parse(&declaration.record).unwrap();
        let attempts = self.ledger.attempts_of(&record).await.expect("the attempts");
        let accepted = attempts.iter().map(|case| case.attempt.accepted_at).min().expect("an attempt");
        format!("{}{}", accepted.strftime("%Y"), declaration.tracking_id)
    }

    pub fn ledger_url(&self) -> &str {
        &self.environment["LEDGER_URL"]
    }
}

/// The request id of a record.
pub fn request_of(record: &str, kind: &str) -> String {
    RequestId::of(&RecordId::parse(record).unwrap(), &EventKind::from_name(kind)).to_string()
}
