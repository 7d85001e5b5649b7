//! The kinds of events that an ID system is asked about.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestKind {
    /// The routing key of the request, and the last part of the reply's routing key.
    pub name: &'static str,
    /// The CloudEvents `type` of the request.
    pub event_type: &'static str,
}

impl RequestKind {
    pub const BIRTH: Self = Self { name: "birth", event_type: "crvs.nid.birth.request.v1" };
    pub const DEATH: Self = Self { name: "death", event_type: "crvs.nid.death.request.v1" };
}
