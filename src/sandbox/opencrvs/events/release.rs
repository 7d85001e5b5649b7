//! The releases of OpenCRVS whose events generation is simulated.

use serde::Serialize;

/// A release of the events generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, clap::ValueEnum)]
pub enum Release {
    /// 1.9: action tokens, plain scopes, `/events` of the country config, `event.get` with a bare
    /// id.
    #[value(name = "1.9")]
    V1_9,
    /// 2.0: action tokens, scopes as query strings, `/config/events`.
    #[default]
    #[value(name = "2.0")]
    V2_0,
    /// 2.1: a service token on the trigger, and only system clients answer an action.
    #[value(name = "2.1")]
    V2_1,
}

impl Release {
    /// Whether a trigger carries a token for its action, and a holder of that token answers it.
    pub(in crate::sandbox::opencrvs) fn has_action_tokens(self) -> bool {
        self < Self::V2_1
    }

    /// The path that core calls when it wants the country's integrations registered.
    pub(super) fn ready_path(self) -> Option<&'static str> {
        match self {
            Self::V1_9 => None,
            Self::V2_0 => Some("triggers/system/ready"),
            Self::V2_1 => Some("trigger/system/ready"),
        }
    }
}
