//! The headers that the engine writes and reads.
//!
//! Invariant: a header's name is part of the contract with messages that wait in queues, so it
//! never changes.

/// How often the message was delayed before. If the header is missing, the count is 0.
pub const ATTEMPT: &str = "x-attempt";
/// When the message was first received: RFC 3339, or milliseconds since 1970.
pub const FIRST_SEEN: &str = "x-first-seen";
/// Why the message was delayed or parked.
pub const CAUSE: &str = "x-cause";
/// What exactly was at fault when the message was parked, if there is more to say than the cause.
pub const DETAIL: &str = "x-detail";
/// When the message was parked.
pub const PARKED_AT: &str = "x-parked-at";
/// The release that parked the message.
pub const WORKER_VERSION: &str = "x-worker-version";
/// The exchange that the message was first published to.
pub const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
/// The routing key that the message was first published with.
pub const ORIGINAL_KEY: &str = "x-original-routing-key";
/// The queue that a parked message was consumed from.
pub const ORIGINAL_QUEUE: &str = "x-original-queue";
/// The user that first published the message, verified by the broker. Valid only on messages that
/// we published ourselves.
pub const ORIGINAL_USER: &str = "x-original-user";
/// When an operator sent the parked message back to work.
pub const REPLAYED_AT: &str = "x-replayed-at";
/// The operator who sent the parked message back.
pub const REPLAYED_BY: &str = "x-replayed-by";
/// The operator's reason for sending the parked message back.
pub const REPLAY_REASON: &str = "x-replay-reason";

/// The headers that a delivery keeps even if its publisher wrote more headers than there is room
/// for.
pub(super) const KEPT: [&str; 10] = [
    ATTEMPT,
    FIRST_SEEN,
    CAUSE,
    DETAIL,
    PARKED_AT,
    WORKER_VERSION,
    ORIGINAL_EXCHANGE,
    ORIGINAL_KEY,
    ORIGINAL_QUEUE,
    ORIGINAL_USER,
];
