//! The runbook: what each cause means, and what the operator on duty does about it.
//!
//! Invariant: every cause has a line, or this does not compile.

use super::cause::Cause;

/// A line of the runbook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Advice {
    pub means: &'static str,
    pub action: &'static str,
}

macro_rules! runbook {
    ($($cause:ident: $means:literal => $action:literal;)+) => {
        impl Cause {
            /// Every cause, in the order of the runbook.
            pub const ALL: &'static [Self] = &[$(Self::$cause),+];

            pub fn advice(self) -> Advice {
                match self {
                    $(Self::$cause => Advice { means: $means, action: $action },)+
                }
            }
        }
    };
}

runbook! {
    // An operator is needed.
    RejectedByIdSystem: "the ID system said no, and this OpenCRVS cannot be told; the record goes on waiting there"
        => "have the office told why (`attempts show`); CONFIRM_NEGATIVE says what is done with such answers";
    TokenExpiring: "the record token dies soon and OpenCRVS has no answer yet"
        => "see what it waits for (`attempts list --expiring-within 24h`) and clear that before the token dies";
    TokenRefused: "the record token has died, or auth's key was changed: OpenCRVS takes no answer with it"
        => "parked: `tokens replace`, which lets it go on; expired: an office must settle it in OpenCRVS";
    TokenOrphaned: "auth's key was changed: the record token is worthless, and OpenCRVS has no answer yet"
        => "`tokens replace --all-orphaned` with the token of an active user";
    RegistrarInactive: "the registrar who submitted it is not active in OpenCRVS any more"
        => "have the account activated, then `attempts resume --cause registrar_inactive`";
    RecordRefused: "OpenCRVS does not accept the token for this record"
        => "check that AUTH_URL and GATEWAY_URL are of the same OpenCRVS, then `attempts resume`";
    OtherNumber: "OpenCRVS has registered the record under a number that is not ours"
        => "find out who registered it: nothing is written over it, and the ID system knows it by our number";
    GatewayContract: "the gateway does not speak what this release speaks"
        => "check GATEWAY_URL and the release of OpenCRVS (1.7 to 2.x), then `attempts resume`";
    FieldUndefined: "the country's forms have no field CONFIRM_IDENTIFIER_FIELD for this event, and an unknown one breaks the record"
        => "add the field to the country's forms, or correct the setting; then `attempts resume --cause field_undefined`";
    NumberTaken: "another record has the registration number"
        => "change NUMBER_TEMPLATE, then `attempts resume --cause number_taken`, which gives it a number";
    IdOfAnotherRecord: "the ID system gave an ID that another record has"
        => "settle with the ID system whose it is; then `attempts resume`, which asks again";
    OrphanId: "an ID was issued for a record that is not registered"
        => "tell the ID system's operators, or have the record submitted again: it keeps its request id";
    ContradictoryAnswer: "a second, different final answer to the same submission; the first one holds"
        => "ask the ID system's operators which is right: the contract allows one";
    Unsealable: "no key of SEAL_KEYS opens it, or it was erased"
        => "put the missing key behind the first one everywhere, restart, then `attempts resume` and `queue replay`";
    Malformed: "a message or a reply that is not what its schema says"
        => "a vendor's reply: have it mended and sent again; else report it, and `queue replay` after an upgrade";
    UnknownVersion: "a message of another release"
        => "run one release everywhere, then `queue replay --cause unknown_version`";
    UnknownRequest: "a reply to a request that was never made, or a message whose record the ledger does not have"
        => "check that all roles use one LEDGER_URL; ask the vendor where the id is from";
    WrongSubmission: "a reply to a submission that was never made"
        => "ask the vendor: `submission` must be that of the request";
    SpoolFull: "the front's spool has reached FRONT_SPOOL_MAX, and OpenCRVS is answered 503"
        => "bring the broker back; raise FRONT_SPOOL_MAX if the disk has room";
    SpoolUnwritable: "the disk of the front's spool is full, broken or does not answer"
        => "free or replace the disk; OpenCRVS is answered 503 as long as the broker is away as well";
    SpoolCorrupt: "a spooled registration that cannot be read is set aside as *.corrupt"
        => "keep the file and check the disk; `reconcile --token-file` names the record that waits for it";
    DeliveryLimit: "the broker parked a message that it had delivered too often: whoever had it died or hung each time"
        => "read the logs of that time, report it, and `queue replay --cause delivery_limit` once";
    Unrouted: "no queue takes what was published: an exchange, a queue or a binding is missing"
        => "`topology apply`, then `queue replay unrouted`";
    Internal: "a fault of the bridge itself"
        => "read the log of that time, report it, and `attempts resume` once";
    // It goes on by itself when what is named here is back.
    GatewayUnavailable: "OpenCRVS cannot be reached or is in trouble"
        => "bring it back; what waits goes on by itself";
    CountryConfigUnavailable: "the country's configuration service cannot be asked whether it has the ID's field"
        => "check COUNTRY_CONFIG_URL and bring it back; what waits goes on by itself";
    IdSystemUnavailable: "the ID system's queue does not take requests"
        => "see whether the vendor consumes nid.requests.*; what waits goes on by itself";
    LedgerUnavailable: "the ledger cannot be reached"
        => "bring the database back; what waits goes on by itself";
    BrokerUnavailable: "the broker cannot be reached"
        => "bring RabbitMQ back; what waits goes on by itself";
    NotYetVisible: "OpenCRVS does not show the attempt yet"
        => "nothing; if it lasts, the search service of OpenCRVS is in trouble";
    AskedToRetry: "the ID system asked to be asked again later"
        => "nothing";
    Leased: "another confirmer has the record"
        => "nothing";
    Quarantined: "a write to OpenCRVS whose end is not known is waited out"
        => "nothing: CONFIRM_QUARANTINE later the record is read again";
    MovedOn: "OpenCRVS has moved the record on by itself; no answer is owed"
        => "nothing";
    TooEarly: "it is too early to write to OpenCRVS"
        => "nothing";
}

impl Cause {
    /// Reads [`Cause::as_str`] back.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|cause| cause.as_str() == text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_read_back_by_the_name_that_it_has_everywhere() {
        for cause in Cause::ALL.iter().copied() {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
        assert_eq!(Cause::parse("done"), None);
    }
}
