//! The kinds of fault.

use super::proxy::Mode;

/// One fault. A number is the index of a process of its kind, or of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    Kill(Kind, usize),
    Terminate(Kind, usize),
    /// Kills both fronts at once, so that nginx has no upstream.
    FrontsKill,
    /// Kills nginx with its workers, in the middle of their requests.
    NginxKill,
    /// Freezes a process for longer than a lease, but for much shorter than the quarantine.
    Freeze(Kind, usize),
    /// Freezes a process for longer than lease and quarantine together. A confirmer's connections
    /// to the gateway are broken when it continues, as they would be in production after so long.
    /// Otherwise a write that it was about to send could come later than the quarantine.
    FreezeLong(Kind, usize),
    NodeKill(usize),
    NodeTerminate(usize),
    NodeFreeze(usize),
    /// Kills the node that leads the queue of registrations.
    LeaderKill,
    /// Separates a node from the other two.
    Partition(usize),
    MemoryAlarm,
    QueueFull,
    ConsumerTimeout,
    /// Breaks the connections between a process and the broker.
    Amqp(Kind, usize, Mode),
    /// Breaks the connections between the ID system and the broker.
    VendorAmqp(Mode),
    LedgerCrash,
    /// Breaks the connections between a process and the ledger.
    LedgerWire(Kind, usize, Mode),
    /// Every call to the gateway fails before it has any effect.
    GatewayErrors,
    /// No call to the gateway is answered, although every confirmation is applied.
    GatewayHangs,
    /// Breaks the connections between a confirmer and the gateway.
    GatewayWire(usize, Mode),
    GatewayDown,
    AuthDown,
    /// Stops the country's configuration service, which knows the forms of the events generation.
    CountryConfigDown,
    KeyRotation,
    /// The ID system reads requests and sends no replies.
    VendorSilent,
    VendorKill,
}

/// A kind of process of the bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Front,
    Worker,
    Confirmer,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Front, Self::Worker, Self::Confirmer];

    pub fn name(self) -> &'static str {
        match self {
            Self::Front => "front",
            Self::Worker => "worker",
            Self::Confirmer => "confirmer",
        }
    }
}

impl What {
    pub fn name(self) -> String {
        match self {
            Self::Kill(kind, _) => format!("kill9_{}", kind.name()),
            Self::FrontsKill => "kill9_both_fronts".to_owned(),
            Self::NginxKill => "kill9_nginx".to_owned(),
            Self::Terminate(kind, _) => format!("sigterm_{}", kind.name()),
            Self::Freeze(kind, _) => format!("sigstop_{}", kind.name()),
            Self::FreezeLong(kind, _) => format!("sigstop_{}_beyond_quarantine", kind.name()),
            Self::NodeKill(_) => "kill9_node".to_owned(),
            Self::NodeTerminate(_) => "sigterm_node".to_owned(),
            Self::NodeFreeze(_) => "sigstop_node".to_owned(),
            Self::LeaderKill => "kill9_leader".to_owned(),
            Self::Partition(_) => "partition".to_owned(),
            Self::MemoryAlarm => "memory_alarm".to_owned(),
            Self::QueueFull => "queue_full".to_owned(),
            Self::ConsumerTimeout => "consumer_timeout".to_owned(),
            Self::Amqp(_, _, mode) => format!("amqp_{}", mode.name()),
            Self::VendorAmqp(mode) => format!("vendor_amqp_{}", mode.name()),
            Self::LedgerCrash => "ledger_crash".to_owned(),
            Self::LedgerWire(_, _, mode) => format!("ledger_{}", mode.name()),
            Self::GatewayErrors => "gateway_errors".to_owned(),
            Self::GatewayHangs => "gateway_hangs".to_owned(),
            Self::GatewayWire(_, mode) => format!("gateway_{}", mode.name()),
            Self::GatewayDown => "gateway_down".to_owned(),
            Self::AuthDown => "auth_down".to_owned(),
            Self::CountryConfigDown => "country_config_down".to_owned(),
            Self::KeyRotation => "key_rotation".to_owned(),
            Self::VendorSilent => "vendor_silent".to_owned(),
            Self::VendorKill => "vendor_kill".to_owned(),
        }
    }

    /// The least and the greatest duration, in milliseconds. A fault that delays a write must end
    /// well before the quarantine (30 s) does, because the protocol cannot protect against a
    /// mutation that is applied later than that.
    pub fn span(self) -> (u64, u64) {
        match self {
            Self::Kill(..) | Self::FrontsKill | Self::Terminate(..) | Self::KeyRotation => (0, 0),
            Self::Freeze(..) => (3_500, 9_000),
            Self::FreezeLong(..) => (35_000, 38_000),
            Self::NginxKill => (200, 700),
            // Most of this is the time that the node needs to come back.
            Self::NodeKill(_) | Self::NodeTerminate(_) | Self::LeaderKill => (20_000, 25_000),
            Self::NodeFreeze(_) => (5_000, 12_000),
            Self::Partition(_) => (9_000, 14_000),
            Self::MemoryAlarm => (3_000, 5_000),
            Self::QueueFull => (3_000, 6_000),
            Self::ConsumerTimeout => (8_000, 9_000),
            Self::LedgerCrash => (1_500, 4_000),
            Self::Amqp(_, _, mode)
            | Self::VendorAmqp(mode)
            | Self::LedgerWire(_, _, mode)
            | Self::GatewayWire(_, mode) => match mode {
                Mode::Cut | Mode::Open => (200, 1_500),
                Mode::DeafServer | Mode::DeafClient | Mode::Blackhole => (2_000, 7_000),
            },
            Self::GatewayErrors | Self::GatewayHangs => (2_000, 4_000),
            Self::GatewayDown | Self::AuthDown | Self::CountryConfigDown => (2_000, 5_000),
            Self::VendorSilent | Self::VendorKill => (3_000, 8_000),
        }
    }

    /// The same fault for the other process of its kind. A long freeze is not moved.
    pub fn on_the_other(self) -> Self {
        if let Self::Kill(kind, number) = self {
            Self::Kill(kind, 1 - number)
        } else if let Self::Terminate(kind, number) = self {
            Self::Terminate(kind, 1 - number)
        } else if let Self::Freeze(kind, number) = self {
            Self::Freeze(kind, 1 - number)
        } else {
            self
        }
    }

    /// The process that the fault affects.
    pub fn process(self) -> Option<(Kind, usize)> {
        match self {
            Self::Kill(kind, number)
            | Self::Terminate(kind, number)
            | Self::Freeze(kind, number)
            | Self::FreezeLong(kind, number) => Some((kind, number)),
            Self::FrontsKill
            | Self::NginxKill
            | Self::NodeKill(_)
            | Self::NodeTerminate(_)
            | Self::NodeFreeze(_)
            | Self::LeaderKill
            | Self::Partition(_)
            | Self::MemoryAlarm
            | Self::QueueFull
            | Self::ConsumerTimeout
            | Self::Amqp(..)
            | Self::VendorAmqp(_)
            | Self::LedgerCrash
            | Self::LedgerWire(..)
            | Self::GatewayErrors
            | Self::GatewayHangs
            | Self::GatewayWire(..)
            | Self::GatewayDown
            | Self::AuthDown
            | Self::CountryConfigDown
            | Self::KeyRotation
            | Self::VendorSilent
            | Self::VendorKill => None,
        }
    }
}
