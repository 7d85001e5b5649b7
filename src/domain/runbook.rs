//! The runbook: what each cause means, and what the operator on duty does about it.
//!
//! Invariant: every cause has a line, or the crate does not compile.

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
    RejectedByIdSystem: "the ID system said no, and this OpenCRVS cannot be told; the record keeps waiting there"
        => "tell the office why (`attempts show`), then end it with `attempts decide`; CONFIRM_NEGATIVE decides what the bridge does with such answers (`attempts decide --as policy` applies it to what is held)";
    TokenExpiring: "the record token expires soon and OpenCRVS has no answer yet"
        => "see what the registration waits for (`attempts list --expiring-within 24h`) and remove that cause in time";
    TokenRefused: "the record token has expired, or auth's key was changed: OpenCRVS takes no answer with it"
        => "state parked: `tokens replace`, which also resumes it, or from OpenCRVS 2.1 on, where the client answers, `attempts resume --cause token_refused`; state expired: have the office settle the record in OpenCRVS";
    Overdue: "OpenCRVS has no answer although NID_DEADLINE is over; the ID system is not asked again, but a late answer is taken while OpenCRVS waits"
        => "see what it waits for (`attempts show`) and remove that cause; if it is the ID system, ask its operators; or end it with `attempts decide`";
    TokenOrphaned: "auth's key was changed, so the record token is useless, and OpenCRVS has no answer yet"
        => "run `tokens replace --all-orphaned` with the token of an active user";
    RegistrarInactive: "the account of the registrar who submitted the record is not active in OpenCRVS any more"
        => "have the account activated, then `attempts resume --cause registrar_inactive`";
    RecordRefused: "OpenCRVS does not accept the token for this record"
        => "check that AUTH_URL and GATEWAY_URL belong to the same OpenCRVS, then `attempts resume --cause record_refused`";
    ClientScope: "the bridge's client in OpenCRVS lacks a scope that answering needs; the registrations wait"
        => "name each kind of event in OPENCRVS_CLIENT_KINDS, delete the client in OpenCRVS, and register it again (`opencrvs client` says how); what waits goes on by itself";
    ClientRefused: "OpenCRVS refuses the id or the secret of the bridge's client, or its access token; the registrations wait"
        => "put the right secret into OPENCRVS_CLIENT_SECRET_FILE, or set OPENCRVS_CLIENT_SECRET and restart; if OpenCRVS does not know the client, register it (`opencrvs client` says how); what waits goes on by itself";
    ClientMissing: "OpenCRVS 2.1 or newer takes answers only from a client, and the bridge has none; the registrations wait"
        => "set OPENCRVS_CLIENT_ID and OPENCRVS_CLIENT_SECRET for worker and confirmer and restart both; what waits goes on by itself";
    OtherNumber: "OpenCRVS has registered the record under another registration number than the bridge gave"
        => "find out who registered it; the bridge does not overwrite it, and the ID system has the bridge's number";
    GatewayContract: "the gateway does not know a call of this release, or does not accept its input"
        => "check GATEWAY_URL and the release of OpenCRVS (1.7 to 2.x), then `attempts resume --cause gateway_contract`";
    FieldUndefined: "the country's form for this event does not define a field of CONFIRM_FIELDS (or CONFIRM_IDENTIFIER_FIELD), or hides it; writing it would damage the record"
        => "find the field in the confirmer's log; add it to the country's form, or correct the setting; then `attempts resume --cause field_undefined`";
    NumberTaken: "another record has the registration number, or NUMBER_TEMPLATE makes no usable number"
        => "`attempts show` names the other record: correct NUMBER_TEMPLATE or NUMBER_UNIQUE, then `attempts resume --cause number_taken`; if the country gave the number, have the office submit the record again with the right one, because the bridge never replaces it";
    NumberKept: "the country gave another registration number with a later submission of a record; the record keeps its first number, because the ID system may have it already"
        => "compare the number in OpenCRVS with the country's own register, and have the country correct its register; so that it does not happen again, the country config has to give a record the same number with every submission, from the first one on";
    OtherKind: "the record came as one kind of event, such as a death, about which the ID system was asked, and then as another one, such as a birth; one of the two is invented, or the ID system has to be told that the first one was wrong"
        => "compare `attempts show` with OpenCRVS; have the ID system's operators undo what they recorded for the wrong kind; then `attempts decide` (`--as issued` or `--as without-id` confirms the genuine attempt)";
    IdOfAnotherRecord: "the ID system issued (or an operator entered) an ID that another record has already"
        => "`attempts show` and the alert's `detail` name the other record: settle with the ID system's operators whose ID it is; then `attempts decide` (`--as ask-again`, `--as issued` with the right ID, or another way)";
    OrphanId: "an ID was issued for a record that is not registered"
        => "tell the ID system's operators; or have the record submitted again: it is asked about under the same request id";
    DecidedOtherwise: "an operator decided the attempt by hand, and the ID system's own answer is another one; the decision stays in force"
        => "`attempts show` says who decided what, and what the ID system replied; settle with its operators which one is right; if it issued an ID, OpenCRVS does not have that ID: have it withdrawn there, or corrected in OpenCRVS by the office";
    ContradictoryAnswer: "the ID system sent a second, different final answer to the same submission; the first one stays in force"
        => "ask the ID system's operators which one is right: the contract allows only one";
    Unsealable: "no key of SEAL_KEYS decrypts the message or value, or it was erased"
        => "put the missing key behind the first one everywhere, restart, then `attempts resume` and `queue replay`";
    Malformed: "a message or a reply does not match its schema"
        => "a reply (nid.replies.refused): `queue list` names the member at fault and the request; have the vendor correct and send it again; a flood of them: change the vendor's password, then `queue purge`; else report it, and `queue replay` after an upgrade";
    UnknownVersion: "this release cannot read the message: it is of another release"
        => "run one release everywhere, then `queue replay --cause unknown_version`";
    UnknownRequest: "a reply to a request that the bridge never made, or that the ledger does not have"
        => "check that all roles use the same LEDGER_URL; ask the vendor where the request id comes from";
    WrongSubmission: "a reply to a submission number that the bridge never sent"
        => "tell the vendor: `submission` of a reply must be that of the request";
    SpoolFull: "the front's spool has reached FRONT_SPOOL_MAX, and registrations are refused (503; events: 400)"
        => "bring the broker back; raise FRONT_SPOOL_MAX if the disk has room";
    SpoolUnwritable: "the disk of the front's spool is full, broken or does not answer"
        => "free or replace the disk; registrations are refused (503; events: 400) as long as the broker is away as well";
    SpoolCorrupt: "a file in the front's spool is not what a front of this deployment wrote, or cannot be read; it was renamed to *.corrupt and is not published"
        => "see `warnings` in the front's `/readyz`, which say why; keep the file, check the disk and who can write there; if a key is missing or the front was upgraded with registrations in its spool, do what the warning says and rename the file back; `reconcile --token-file` (events: `reconcile` with the bridge's client, or a search in OpenCRVS for register:requested) lists its record";
    StampInFuture: "OpenCRVS dates a submission in the future, or more than ten years before it arrived; the bridge orders it by its arrival instead"
        => "correct the clock of the machine that runs OpenCRVS (or of the front, if that one is behind); the registration goes on unless its state is superseded: then see in OpenCRVS what the record waits for, and have the office submit it again if that is not the newer attempt";
    Unfit: "the registration lacks what the ID system's contract requires, so the ID system was not asked"
        => "have the office complete the fields that `attempts show` names and submit the record again; if OpenCRVS does not let it, `attempts decide`";
    NotInOpencrvs: "OpenCRVS does not have the registration as it was submitted to the bridge; the ID system was not asked"
        => "many at once: give the worker the same FIELDS_EVENTS, FIELDS_FHIR and CONFIRM_IDENTIFIER_TYPE as the front; a single one: compare it with OpenCRVS (the alert's detail, and `mismatch` in the worker's log, say what differs) and find out who submitted it, perhaps for an invented person; `attempts resume` reads OpenCRVS once more; a genuine record is submitted again by the office, an invented one ends with `attempts decide --as close`";
    Failing: "one attempt has failed for longer than FAILING_AFTER while others were confirmed"
        => "see its last cause (`attempts show`, then `causes CAUSE`) and remove that; the bridge goes on trying; if nothing helps, `attempts decide`";
    AskedTooOften: "the ID system has answered a registration with `retry` 50 times or for a day"
        => "ask the ID system's operators why; the bridge goes on asking";
    RejectedByConsumer: "a consumer rejected the message at the broker instead of replying to it, so the broker parked it"
        => "ask the vendor why (a request must be acknowledged and answered by a reply), then `queue replay --cause rejected_by_consumer`";
    OtherDeployment: "a role has another ledger or other sealing keys than the roles of its broker; it accepts and consumes nothing"
        => "find the role by its log (it names the setting); give all roles of one installation the same LEDGER_URL, AMQP_URL and SEAL_KEYS, and restart that role";
    BrokerRefused: "the broker refuses a role's user, password or vhost, or its queues differ from what the role needs; the role is not ready, and a role that starts ends with exit code 78"
        => "see the role's log or `why` in its `/readyz`, which name the setting or the queue; correct the setting, or the queue (`topology check`); a role that runs goes on by itself then";
    AuthKeyMissing: "a front has never had the public key of OpenCRVS's auth service, so it answers every registration with 503 and is not ready"
        => "see the front's log or `why` in its `/readyz`; correct AUTH_URL, or bring auth back; the front goes on by itself";
    ClockDiffers: "the clock of a role's machine and that of OpenCRVS differ by more than STAMP_TOLERANCE; tokens then seem expired too early or too late, and stamps seem to lie in the future"
        => "see the role's log or `warnings` in its `/readyz`, which name the difference; correct the clock that is wrong (NTP) on both machines";
    AllRefused: "a front has refused the last registrations one after the other, and accepted none between them"
        => "`warnings` in the front's `/readyz` has the reason of the last one; if it is the signature, AUTH_URL is not that of this OpenCRVS; if it is the expiry, compare the clocks; if OpenCRVS's own registrations are accepted, somebody else sends the refused ones";
    UnknownAttempt: "a message about an attempt that the ledger does not have, as after a restore of an older ledger"
        => "check that all roles use the same LEDGER_URL; after a restore of the ledger, `recover --unknown` takes them in again";
    DeliveryLimit: "the broker parked a message after BROKER_DELIVERY_LIMIT deliveries: each time the process that had it died or hung"
        => "read the logs of that time, report it, and run `queue replay --cause delivery_limit` once";
    Unrouted: "no queue takes what was published: an exchange, a queue or a binding is missing"
        => "run `topology apply`, then `queue replay unrouted`";
    Internal: "a fault of the bridge itself"
        => "read the log of that time, report it, and run `attempts resume --cause internal` (or `queue replay`) once";
    // The work goes on by itself once the cause is gone.
    GatewayUnavailable: "OpenCRVS cannot be reached or fails"
        => "bring it back; what waits goes on by itself";
    CountryConfigUnavailable: "the country's configuration service does not tell whether its forms have the fields of CONFIRM_FIELDS (or CONFIRM_IDENTIFIER_FIELD)"
        => "check COUNTRY_CONFIG_URL and bring it back; what waits goes on by itself";
    IdSystemUnavailable: "the ID system's queue does not take requests"
        => "check that the vendor consumes nid.requests.*; what waits goes on by itself";
    Assigned: "in OpenCRVS a user is assigned to the record, so the bridge's client may not answer it"
        => "if it lasts, have that user (`attempts show`) finish with the record or unassign it; what waits goes on by itself";
    LedgerUnavailable: "the ledger cannot be reached"
        => "bring the database back; what waits goes on by itself";
    BrokerUnavailable: "the broker cannot be reached"
        => "bring RabbitMQ back; what waits goes on by itself";
    NotYetVisible: "OpenCRVS does not show the attempt yet"
        => "nothing; if it lasts, check the search service of OpenCRVS";
    AskedToRetry: "the ID system asked to be asked again later"
        => "nothing";
    Leased: "another confirmer is handling the record"
        => "nothing";
    Quarantined: "the result of a write to OpenCRVS is unknown, so the record is not written again for CONFIRM_QUARANTINE"
        => "nothing: after that time the bridge reads the record and continues";
    MovedOn: "OpenCRVS itself has rejected, archived or otherwise moved the record on; it waits for no answer"
        => "nothing";
    TooEarly: "CONFIRM_DELAY or FRONT_WAIT is not over yet"
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
    fn every_cause_is_read_back_from_its_name() {
        for cause in Cause::ALL.iter().copied() {
            assert_eq!(Cause::parse(cause.as_str()), Some(cause));
            assert_eq!(serde_json::to_value(cause).unwrap(), cause.as_str());
        }
        assert_eq!(Cause::parse("done"), None);
    }
}
