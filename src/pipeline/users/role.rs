//! The roles that have a broker user of their own.

/// A role that has a broker user of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Front,
    Worker,
    Confirmer,
}

impl Role {
    pub const ALL: [Self; 3] = [Self::Front, Self::Worker, Self::Confirmer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Worker => "worker",
            Self::Confirmer => "confirmer",
        }
    }
}
