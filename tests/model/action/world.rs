//! The state of the model: OpenCRVS, the ledger's row, the queue and two confirmers, for one
//! action.

use nidbridge::domain::{ClientRefusal, ClientStanding, Credential, State, TokenState};

use crate::explore::digest;

/// What a release of OpenCRVS accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Release {
    /// 1.9 and 2.0.0: only the token, whoever is assigned.
    Old,
    /// 2.0.1: the token, and the client while nobody is assigned.
    Middle,
    /// 2.1: only the client, while nobody is assigned.
    New,
}

impl Release {
    pub fn next(self) -> Option<Self> {
        match self {
            Self::Old => Some(Self::Middle),
            Self::Middle => Some(Self::New),
            Self::New => None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Core {
    pub release: Release,
    /// How often an answer to the action was stored.
    pub stored: u8,
    pub assigned: bool,
    /// Whether the token has expired, or its key was changed.
    pub token_dead: bool,
    /// Whether the secret of the client is another one than that in the bridge's file.
    pub rotated: bool,
    /// Whether the client has the scope. An operator may add it.
    pub scope: bool,
}

/// What OpenCRVS responds to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Response {
    /// The action has its answer.
    Done,
    /// 401 or 403.
    TokenRefused,
    Client(ClientRefusal),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flight {
    Flying,
    Back(Response),
    /// The response is lost, so whether the call was handled is not known.
    Lost,
}

/// The step at which a confirmer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Turn {
    Idle,
    Choosing { token: TokenState, refusal: Option<ClientRefusal>, fresh: bool },
    Sent { call: Credential, flight: Flight, token: TokenState, refusal: Option<ClientRefusal>, fresh: bool },
}

/// One process that confirms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Confirmer {
    pub turn: Turn,
    pub standing: ClientStanding,
    /// The access token in its cache, if any: `true` while OpenCRVS accepts it.
    pub cached: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct World {
    pub core: Core,
    /// The state of the attempt in the ledger.
    pub state: State,
    pub message: bool,
    /// The last owner of the lease.
    pub owner: Option<u8>,
    pub leased: bool,
    /// Whether operators know that the client lacks a scope.
    pub scope_alert: bool,
    /// Whether operators know that the secret is refused.
    pub secret_alert: bool,
    /// Whether the attempt waits for an operator who does not know.
    pub unreported: bool,
    /// Whether the attempt was parked because the token was refused where no client may answer.
    pub operators: bool,
    pub confirmers: [Confirmer; 2],
    /// How many troubles there may still be.
    pub troubles: u8,
    /// Calls on their way whose confirmer has stopped, by credential.
    pub strays: [bool; 2],
}

/// What may happen in one exploration.
#[derive(Debug, Clone, Copy)]
pub struct Scope {
    pub from: Release,
    /// The release up to which OpenCRVS may be upgraded.
    pub to: Release,
    pub has_token: bool,
    pub has_client: bool,
    pub confirmers: u8,
    /// How many troubles there may be: users who are assigned, changed secrets, scopes that are
    /// taken away, access tokens that die, broken connections, processes that stop.
    pub troubles: u8,
    /// Whether the answer is a rejection.
    pub rejects: bool,
}

/// The rules of the bridge. Each can be removed, to show what it prevents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// When one credential is refused, the other one is tried.
    OtherCredential,
    /// The credential that is known to work goes first.
    Order,
    /// An attempt does not expire with its token while there is a client.
    NoExpiryWithClient,
    /// An attempt waits while a user is assigned.
    WaitWhileAssigned,
    /// An attempt waits while the client lacks a scope.
    WaitForScope,
    /// An attempt waits while the secret is refused.
    WaitForSecret,
    /// A refused access token is forgotten.
    FreshToken,
    /// The file of the secret is read at each fetch.
    RereadSecret,
    /// An attempt that waits for the configuration raises an alert.
    Alert,
    /// A call whose result is unknown is repeated.
    RepeatAfterDoubt,
    /// The message of an attempt that waits stays in the queue.
    Redeliver,
    ReadFirst,
    ReadAfterDoubt,
    Lease,
}

/// The ways in which a state can break the promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Wrong {
    StoredTwice,
    /// The ledger says that OpenCRVS was told, but it was not.
    ConfirmedInVain,
    /// The attempt ended without its answer, although a credential could have given it, perhaps
    /// later.
    EndedAnswerable,
    /// The attempt waits for an operator who does not know.
    WaitsUnreported,
    NeverEnds,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    Takes,
    Expires,
    Fetches(bool),
    FetchFails,
    SeesItDone,
    Sends(Credential),
    Hears,
    HearsNothing,
    Waits,
    Parks,
    Probes,
    Stops,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Upgraded,
    UserAssigned,
    UserUnassigned,
    TokenDies,
    SecretRotated,
    FileUpdated,
    ScopeRemoved,
    ScopeAdded,
    AccessTokenDies(u8),
    Handled(u8),
    Broken(u8),
    StrayHandled(u8),
    StrayLost(u8),
    LeaseEnds,
    Confirmer(u8, Does),
}

impl Step {
    /// Whether the step is one of the troubles whose number is limited.
    pub fn is_trouble(self) -> bool {
        self.is_fault() && !matches!(self, Self::Upgraded | Self::TokenDies)
    }

    pub fn is_fault(self) -> bool {
        match self {
            Self::Upgraded
            | Self::UserAssigned
            | Self::TokenDies
            | Self::SecretRotated
            | Self::ScopeRemoved
            | Self::AccessTokenDies(_)
            | Self::Broken(_)
            | Self::Confirmer(_, Does::FetchFails | Does::Stops) => true,
            Self::UserUnassigned
            | Self::FileUpdated
            | Self::ScopeAdded
            | Self::Handled(_)
            | Self::StrayHandled(_)
            | Self::StrayLost(_)
            | Self::LeaseEnds
            | Self::Confirmer(
                _,
                Does::Takes
                | Does::Expires
                | Does::Fetches(_)
                | Does::SeesItDone
                | Does::Sends(_)
                | Does::Hears
                | Does::HearsNothing
                | Does::Waits
                | Does::Parks
                | Does::Probes,
            ) => false,
        }
    }
}

impl World {
    pub fn start(scope: &Scope) -> Self {
        let standing = if scope.has_client { ClientStanding::Unknown } else { ClientStanding::NotConfigured };
        Self {
            core: Core {
                release: scope.from,
                stored: 0,
                assigned: false,
                token_dead: false,
                rotated: false,
                scope: true,
            },
            state: State::Answered,
            message: true,
            owner: None,
            leased: false,
            scope_alert: false,
            secret_alert: false,
            unreported: false,
            operators: false,
            confirmers: [Confirmer { turn: Turn::Idle, standing, cached: None }; 2],
            troubles: scope.troubles,
            strays: [false; 2],
        }
    }

    /// One representative for all states that differ only in the names of the confirmers, or in
    /// what matters no more.
    pub fn canonical(mut self, scope: &Scope) -> Self {
        if self.core.stored > 0 {
            self.strays = [false; 2];
        }
        if self.owner.is_some_and(|c| self.confirmers[usize::from(c)].turn == Turn::Idle) {
            self.owner = None;
        }
        let rank = |c: usize| (digest(&self.confirmers[c]), self.owner != Some(c as u8));
        if scope.confirmers == 2 && rank(0) > rank(1) {
            self.confirmers.swap(0, 1);
            self.owner = self.owner.map(|c| 1 - c);
        }
        self
    }

    pub fn wrong(&self, scope: &Scope) -> Option<Wrong> {
        let told = if scope.rejects { State::Rejected } else { State::Confirmed };
        if self.core.stored > 1 {
            return Some(Wrong::StoredTwice);
        }
        if self.state == told && self.core.stored == 0 {
            return Some(Wrong::ConfirmedInVain);
        }
        let answerable = scope.has_client && self.core.release != Release::Old && !self.operators;
        if !self.state.is_open() && self.state != told && answerable {
            return Some(Wrong::EndedAnswerable);
        }
        self.unreported.then_some(Wrong::WaitsUnreported)
    }
}
