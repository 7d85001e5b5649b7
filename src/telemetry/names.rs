//! Every metric name and label of the bridge, in one place.
//!
//! Invariant: dashboards and alert rules may name only what is here; no label holds a name, an id or a token.

/// Registrations that OpenCRVS sent, by event kind and by what they were answered.
pub const RECEIVED: &str = "nidbridge_received_total";
/// Requests that are not ours, by what became of them.
pub const PASSED: &str = "nidbridge_passed_total";
/// Requests that are not ours and that are under way at this moment.
pub const PASSING: &str = "nidbridge_passing";
/// Callers that were to be held for their answer, by what came of it.
pub const WAITED: &str = "nidbridge_waited_total";
/// Callers that are held at this moment.
pub const WAITING: &str = "nidbridge_waiting";
/// How long the front takes to answer.
pub const HTTP_DURATION: &str = "nidbridge_http_request_duration_seconds";
/// Messages that a stage has settled.
pub const STAGE_PROCESSED: &str = "nidbridge_stage_processed_total";
/// How long a stage works on one message.
pub const STAGE_DURATION: &str = "nidbridge_stage_duration_seconds";
/// Messages that a stage put off.
pub const RETRIES: &str = "nidbridge_retries_total";
/// Messages and attempts that a stage gave up on until an operator resumes them.
pub const DEAD_LETTERED: &str = "nidbridge_dead_lettered_total";
/// Messages that a stage works on at this moment.
pub const IN_FLIGHT: &str = "nidbridge_inflight";
/// Messages that were given to the broker, by what came of it.
pub const PUBLISHED: &str = "nidbridge_published_total";
/// How long the broker takes to confirm.
pub const PUBLISH_CONFIRM: &str = "nidbridge_publish_confirm_seconds";
/// Requests that went to the ID system.
pub const REQUESTED: &str = "nidbridge_requests_total";
/// Replies of the ID system.
pub const REPLIES: &str = "nidbridge_replies_total";
/// What came of telling OpenCRVS.
pub const CONFIRM: &str = "nidbridge_confirm_total";
/// From the front's 202 to the end in OpenCRVS.
pub const END_TO_END: &str = "nidbridge_end_to_end_seconds";
/// Whether a connection to the broker is open (1) or not (0).
pub const BROKER_CONNECTED: &str = "nidbridge_broker_connected";
/// Whether what is depended on works (0), is tried (1) or is left alone (2).
pub const BREAKER_STATE: &str = "nidbridge_breaker_state";
/// How often it had to be left alone.
pub const BREAKER_OPENED: &str = "nidbridge_breaker_opened_total";
/// Turns of the sweeper, by what came of them.
pub const SWEEPS: &str = "nidbridge_sweeps_total";
/// Attempts whose next hop the sweeper published again, by their state.
pub const SWEPT: &str = "nidbridge_swept_total";
/// Record tokens that the keeper looked after, by what came of it.
pub const TOKENS: &str = "nidbridge_tokens_total";
/// Records whose sealed values were erased.
pub const ERASED: &str = "nidbridge_erased_total";
/// Registrations that a front put on its own disk because the broker took none.
pub const SPOOLED: &str = "nidbridge_spooled_total";
/// Registrations that wait in a front's spool.
pub const SPOOL_FILES: &str = "nidbridge_spool_files";
/// How many bytes they are.
pub const SPOOL_BYTES: &str = "nidbridge_spool_bytes";
/// How often a connection to the broker came back after it was lost.
pub const BROKER_RECONNECTS: &str = "nidbridge_broker_reconnects_total";
/// Deliveries that were handled and not acknowledged: the broker gives them again.
pub const UNSETTLED: &str = "nidbridge_unsettled_total";
/// What an operator has to look at.
pub const ALARMS: &str = "nidbridge_alarms_total";
/// Alerts that went to the webhook, by what came of it.
pub const ALERTS: &str = "nidbridge_alerts_total";
/// The release that runs; always 1.
pub const BUILD_INFO: &str = "nidbridge_build_info";

/// The kind of event: `birth`, `death`, `marriage`, `other`.
pub const EVENT: &str = "event";
/// A status of the queue contract.
pub const STATUS: &str = "status";
/// The state of an attempt.
pub const STATE: &str = "state";
/// What came of it.
pub const OUTCOME: &str = "outcome";
/// `record`, `send`, `resolve`, `confirm` or `sweep`.
pub const STAGE: &str = "stage";
/// Why: a name of [`crate::domain::Cause`].
pub const CAUSE: &str = "cause";
/// An exchange of the topology.
pub const EXCHANGE: &str = "exchange";
/// Which connection to the broker.
pub const LINK: &str = "link";
/// The label that says what is depended on.
pub const DEPENDENCY: &str = "dependency";
/// The release.
pub const VERSION: &str = "version";
