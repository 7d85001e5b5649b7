//! Settings of the worker and the confirmer.

use std::time::Duration;

use jiff::tz::TimeZone;

use crate::config::forms::{
    Mapping, Negative, OnOff, Optional, Percent, Positive, Renewable, Scope, Size, Span, Switch, Template,
    Text, Zone,
};
use crate::config::secret::SecretSource;
use crate::config::setting::settings;
use crate::domain::{FieldMapping, NegativePolicy, NumberScope, NumberTemplate};

settings! {
    /// The National ID system.
    pub struct NidConfig in "nid" {
        /// Value of `source` in every request to the ID system; it names this bridge.
        source: String, Text, "/nidbridge", ["NID_SOURCE"];
        /// Maximum size of a reply.
        reply_max_bytes: usize, Size, "64KiB", ["NID_REPLY_MAX_BYTES"];
        /// Time that the ID system has for its answer, from the acceptance of the registration. It
        /// sets `expires_at` of a request, unless the registration's token expires earlier. After
        /// this time, an operator is alerted if OpenCRVS has no answer yet, and the ID system is
        /// not asked again; a late answer is still taken while OpenCRVS waits.
        deadline: Duration, Span, "7d", ["NID_DEADLINE"];
        /// Time without any reply after which a request is sent again. `pending` counts as a reply.
        resend_after: Duration, Span, "24h", ["NID_RESEND_AFTER"];
        /// Prefetch: replies that one worker handles at the same time.
        prefetch: u16, Positive<u16>, "32", ["NID_PREFETCH"];
    }
}

settings! {
    /// The check in OpenCRVS before the ID system is asked.
    pub struct SendConfig in "send" {
        /// Whether the worker reads a registration in OpenCRVS before it asks the ID system: the
        /// record must have been submitted as the bridge got it, with the same name and date of
        /// birth. Otherwise it is parked (`not_in_opencrvs`). Needs `GATEWAY_URL`, and for events a
        /// token or a client that may read them.
        check: bool, Switch, "true", ["SEND_CHECK"];
        /// Time after the front's acceptance during which OpenCRVS may not show a registration yet.
        /// If OpenCRVS does not show it after that, it is parked.
        visible_within: Duration, Span, "1m", ["SEND_VISIBLE_WITHIN"];
    }
}

settings! {
    /// Registration numbers.
    pub struct NumberConfig in "number" {
        /// Template of registration numbers.
        template: NumberTemplate, Template, "{year}{tracking_id}", ["NUMBER_TEMPLATE"];
        /// Within which registrations a number is unique: everywhere, or only within the same
        /// office, year or kind of event (several of these with commas between them). Set it before
        /// the first registration: new numbers are not compared with those given under another
        /// value.
        unique: NumberScope, Scope, "global", ["NUMBER_UNIQUE"];
        /// Time zone of the country (IANA), by which a registration has its date and its number the
        /// year, and in which the day of an instant in a document is taken. Set it to the same
        /// value for every role and before the first registration.
        time_zone: TimeZone, Zone, "UTC", ["COUNTRY_TIME_ZONE"];
        /// Whether the front takes the registration number from the header `X-Registration-Number`.
        /// Whoever has a record's token can send it, so let only your own handler reach the front,
        /// or set `NUMBER_HEADER_SECRET`. While it is off, the header is ignored.
        header: bool, OnOff, "off", ["NUMBER_HEADER"];
        /// Secret that comes with the header, in `X-Registration-Number-Secret`. If it is set, the
        /// header is on, and a registration with the header and without the secret is refused. The
        /// file of `NUMBER_HEADER_SECRET_FILE` is read each time.
        header_secret: Option<SecretSource>, Renewable, "", ["NUMBER_HEADER_SECRET"];
    }
}

settings! {
    /// The confirmer: what is written to OpenCRVS, and when.
    pub struct ConfirmConfig in "confirm" {
        /// Time from the front's 202 to the first write to OpenCRVS; the publish timeout is added.
        delay: Duration, Span, "2s", ["CONFIRM_DELAY"];
        /// Time after a write to OpenCRVS whose result is unknown during which the record is not
        /// written again.
        quarantine: Duration, Span, "10m", ["CONFIRM_QUARANTINE"];
        /// Duration of a lease: the exclusive right of one confirmer to write a record.
        lease: Duration, Span, "60s", ["CONFIRM_LEASE"];
        /// Policy for a negative answer where OpenCRVS cannot take one (FHIR generation): hold the
        /// record for an operator, or confirm it without an ID.
        negative: NegativePolicy, Negative, "hold", ["CONFIRM_NEGATIVE"];
        /// Prefetch: records that one confirmer handles at the same time.
        prefetch: u16, Positive<u16>, "16", ["CONFIRM_PREFETCH"];
        /// Identifier type under which OpenCRVS stores the national ID: for writing the issued ID
        /// (FHIR generation), and for reading those of the deceased and of parents (both
        /// generations; `NATIONAL_ID` is read in the events generation as well). Set the same value
        /// for front, worker and confirmer.
        identifier_type: String, Text, "NATIONAL_ID", ["CONFIRM_IDENTIFIER_TYPE"];
        /// Form fields that an answer writes into the record (events generation), in a list for
        /// each kind of event; `*` is for all other kinds. A value is `id`, `number`, a JSON text,
        /// number or boolean, or `null`, which erases the field. `when issued`, `when recorded` or
        /// `when answered` after a field limits it to these answers. If neither this nor
        /// `CONFIRM_IDENTIFIER_FIELD` is set, OpenCRVS does not get the ID.
        fields: Option<FieldMapping>, Optional<Mapping>, "", ["CONFIRM_FIELDS"];
        /// Form field in which OpenCRVS stores the ID (events generation), such as `child.nid`:
        /// short for `*: child.nid = id` in `CONFIRM_FIELDS`.
        identifier_field: Option<String>, Optional<Text>, "", ["CONFIRM_IDENTIFIER_FIELD"];
        /// Time for which a check that the country's forms define these fields stays valid.
        field_recheck: Duration, Span, "10m", ["CONFIRM_FIELD_RECHECK"];
        /// Whether OpenCRVS gets the reason of a rejection (events generation, 1.9.13 and newer).
        reasons: bool, Switch, "false", ["CONFIRM_REASONS"];
        /// Comment of a confirmation without an ID.
        comment: String, Text, "The National ID system did not issue an ID.", ["CONFIRM_COMMENT"];
        /// Comment of a confirmation without an ID, and reason of a rejection, if the ID system was
        /// not asked because a field of the registration is missing or invalid. The names of the
        /// fields are added.
        comment_unfit: String, Text, "Fields are missing or invalid, so no ID was requested.", ["CONFIRM_COMMENT_UNFIT"];
    }
}

impl ConfirmConfig {
    /// The fields that an answer writes, if any are set.
    pub fn mapping(&self) -> Option<FieldMapping> {
        self.fields.clone().or_else(|| self.identifier_field.clone().map(FieldMapping::identifier))
    }

    /// Variable and key of the setting that [`ConfirmConfig::mapping`] comes from.
    pub fn mapping_setting(&self) -> &'static str {
        if self.fields.is_some() {
            "CONFIRM_FIELDS (confirm.fields)"
        } else {
            "CONFIRM_IDENTIFIER_FIELD (confirm.identifier_field)"
        }
    }
}

settings! {
    /// Circuit breakers of what the bridge depends on.
    pub struct BreakerConfig in "breaker" {
        /// Consecutive failures that open the breaker. While it is open, queues that need the
        /// dependency are not consumed.
        failures: u32, Positive<u32>, "5", ["BREAKER_FAILURES"];
        /// Time from opening to the first probe.
        pause: Duration, Span, "5s", ["BREAKER_PAUSE"];
        /// Longest time between two probes. The time doubles with each failed probe.
        pause_max: Duration, Span, "1m", ["BREAKER_PAUSE_MAX"];
    }
}

settings! {
    /// The sweeper, which finds registrations whose message or reply is overdue.
    pub struct SweepConfig in "sweep" {
        /// Interval between two sweeps. One worker at a time sweeps.
        interval: Duration, Span, "60s", ["SWEEP_INTERVAL"];
        /// Maximum number of messages that one sweep publishes again.
        batch: u32, Positive<u32>, "500", ["SWEEP_BATCH"];
        /// Time, on top of the longest delay of a queue, after which a message counts as overdue.
        margin: Duration, Span, "5m", ["SWEEP_MARGIN"];
        /// How long before a record token expires an operator is warned.
        expiring: Duration, Span, "24h", ["SWEEP_EXPIRING"];
        /// How long a registration fails, while others are confirmed, before an operator is
        /// alerted to it.
        failing_after: Duration, Span, "1h", ["FAILING_AFTER"];
    }
}

settings! {
    /// Renewal of record tokens.
    pub struct TokenConfig in "token" {
        /// Interval between two checks of the tokens and of auth's key. One confirmer at a time
        /// checks.
        interval: Duration, Span, "60s", ["TOKEN_INTERVAL"];
        /// Share of a token's lifetime, in percent, after which it is exchanged for a new one.
        renew_at: u8, Percent, "50", ["TOKEN_RENEW_AT"];
        /// Time after the acceptance of a registration during which its token is renewed. After
        /// that the token expires.
        renew_until: Duration, Span, "30d", ["TOKEN_RENEW_UNTIL"];
        /// Maximum number of tokens that one check renews.
        batch: u32, Positive<u32>, "500", ["TOKEN_BATCH"];
    }
}
