//! The operations of the gateway: confirm, reject, fetch and search, with core's checks and its
//! errors.

use std::sync::atomic::Ordering;

use axum::http::header;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::Query;
use crate::sandbox::opencrvs::errors::ErrorRow;
use crate::sandbox::opencrvs::fault::Fault;
use crate::sandbox::opencrvs::graphql::Operation;
use crate::sandbox::opencrvs::keys::{Claims, TokenHash};
use crate::sandbox::opencrvs::records::Confirmation;
use crate::sandbox::opencrvs::search::Search;
use crate::sandbox::opencrvs::subject;
use crate::sandbox::opencrvs::tally::count;

impl Query {
    /// Runs a query, or the rejection, which core always refuses.
    pub(super) fn run(&self) -> Result<Value, ErrorRow> {
        match self.document.operation {
            Operation::Fetch => {
                self.caller()?;
                self.fetch(self.id()?)
            }
            Operation::Search => self.search(&self.caller()?),
            Operation::Confirm | Operation::Reject => {
                self.allowed(&self.caller()?, "record.reject-registration", self.id()?)?;
                Err(ErrorRow::REJECT_FORBIDDEN)
            }
        }
    }

    pub(super) fn confirm(&self, details: Confirmation) -> Result<Value, ErrorRow> {
        let task = self.core.with_records(|records| records.confirm(&self.id, details, Timestamp::now()));
        task.map(Value::from).ok_or(ErrorRow::CONFIRM_FAILED)
    }

    /// The details to confirm, if the caller is allowed to.
    pub(super) fn to_confirm(&self, fault: Option<Fault>) -> Result<Confirmation, ErrorRow> {
        let (claims, id) = (self.caller()?, self.id()?);
        self.allowed(&claims, "record.confirm-registration", id)?;
        Ok(Confirmation { fault, ..self.details()? })
    }

    fn bearer(&self) -> Option<&str> {
        self.headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
    }

    fn id(&self) -> Result<&str, ErrorRow> {
        if self.id.is_empty() { Err(ErrorRow::BAD_ID) } else { Ok(&self.id) }
    }

    fn caller(&self) -> Result<Claims, ErrorRow> {
        let token = self.bearer().ok_or(ErrorRow::UNAUTHORIZED)?;
        let claims = self.core.with_key(|key| key.verify(token, "gateway-user"));
        let claims = claims.ok_or(ErrorRow::UNAUTHORIZED)?;
        if self.core.faults.is_deactivated(&claims.sub) {
            return Err(ErrorRow::AUTHENTICATION_FAILED);
        }
        Ok(claims)
    }

    fn allowed(&self, claims: &Claims, scope: &str, id: &str) -> Result<(), ErrorRow> {
        if !claims.scope.iter().any(|held| held == scope) {
            let rejects = self.document.operation == Operation::Reject;
            return Err(if rejects { ErrorRow::NO_REJECT_SCOPE } else { ErrorRow::NO_CONFIRM_SCOPE });
        }
        if claims.record_id.as_deref() != Some(id) {
            return Err(ErrorRow::OTHER_RECORD);
        }
        Ok(())
    }

    fn details(&self) -> Result<Confirmation, ErrorRow> {
        let bad = ErrorRow::BAD_DETAILS;
        let details = self.document.argument("details");
        let number = details.get("registrationNumber").and_then(Value::as_str).ok_or(bad)?;
        let given =
            details.get("identifiers").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let mut identifiers = Vec::new();
        for identifier in given {
            let text = |name: &str| identifier.get(name).and_then(Value::as_str).map(str::to_owned);
            match (text("type"), text("value")) {
                (Some(kind), Some(value)) => identifiers.push((kind, value)),
                (None, _) | (_, None) => return Err(bad),
            }
        }
        let comment = details.get("comment").and_then(Value::as_str).map(str::to_owned);
        let token = TokenHash::of(self.bearer().unwrap_or_default());
        Ok(Confirmation { number: number.to_owned(), identifiers, comment, token, fault: None })
    }

    fn search(&self, claims: &Claims) -> Result<Value, ErrorRow> {
        let behind = self.core.faults.index_lag();
        let search = Search {
            claims,
            document: &self.document,
            indexed: Timestamp::now().saturating_sub(behind).unwrap_or_default(),
        };
        let (page, downloaded) = self.core.with_records(|records| search.run(records))?;
        self.core.downloaded.fetch_add(count(downloaded), Ordering::Relaxed);
        Ok(page)
    }

    /// As in core, neither the scope nor the record of the token is checked.
    fn fetch(&self, id: &str) -> Result<Value, ErrorRow> {
        self.core.with_records(|records| {
            let record = records.record(id).ok_or(ErrorRow::FETCH_FAILED)?;
            let status: Vec<Value> = record
                .history
                .iter()
                .rev()
                .map(|step| json!({"type": step.status.name(), "timestamp": step.at}))
                .collect();
            let mut found = json!({"__typename": subject::typename(record.kind), "id": id, "registration": {
                "trackingId": record.tracking_id,
                "registrationNumber": record.numbers.first(),
                "status": status
            }});
            if let (Some(member), Some(found)) = (subject::member(record.kind), found.as_object_mut()) {
                found.insert(member.to_owned(), record.person.clone().unwrap_or_default());
            }
            Ok(found)
        })
    }
}
