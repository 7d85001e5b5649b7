//! The operation that a GraphQL document asks for.

use super::errors::ErrorRow;
use super::schema;

/// What a document asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    Confirm,
    Reject,
    Fetch,
    Search,
}

impl Operation {
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::Confirm => "confirmRegistration",
            Self::Reject => "rejectRegistration",
            Self::Fetch => "fetchRegistration",
            Self::Search => "searchEvents",
        }
    }

    /// Finds the operation of a document, which has to follow the schema, by its root field.
    pub(super) fn of(document: &str) -> Result<Self, ErrorRow> {
        let field = schema::validate(document)?;
        [Self::Confirm, Self::Reject, Self::Fetch, Self::Search]
            .into_iter()
            .find(|operation| operation.field() == field)
            .ok_or(ErrorRow::VALIDATION_FAILED)
    }
}
