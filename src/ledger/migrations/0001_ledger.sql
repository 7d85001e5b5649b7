-- Times are milliseconds since 1970 by the ledger's clock. Sealed columns hold `v1.<key id>.<base64url>`.
CREATE TABLE record (
    record_id      TEXT   NOT NULL PRIMARY KEY,
    dialect        TEXT   NOT NULL,
    kind           TEXT   NOT NULL,
    tracking_id    TEXT   NOT NULL,
    office         TEXT,
    number         TEXT   UNIQUE,
    request_id     TEXT   NOT NULL UNIQUE,
    route          TEXT,
    submissions    BIGINT NOT NULL DEFAULT 0,
    newest_attempt TEXT,
    newest_stamp   BIGINT,
    known          TEXT,            -- 'issued' or 'recorded': belongs to the record, whichever attempt it answered
    sealed_id      TEXT,
    id_kind        TEXT,
    id_fingerprint TEXT   UNIQUE,   -- keyed; outlives the sealed ID, so that one ID on two records always alarms
    reference      TEXT,            -- the ID system's own reference, where it gave one
    lease_owner    TEXT,
    lease_until    BIGINT NOT NULL DEFAULT 0,
    fence          BIGINT NOT NULL DEFAULT 0,
    intent_attempt TEXT,
    intent_at      BIGINT,
    touched        BIGINT NOT NULL DEFAULT 0,
    created_at     BIGINT NOT NULL
);
CREATE INDEX record_tracking ON record (tracking_id);

CREATE TABLE attempt (
    attempt_id       TEXT   NOT NULL PRIMARY KEY,
    record_id        TEXT   NOT NULL REFERENCES record (record_id),
    stamp            BIGINT NOT NULL,
    submission       BIGINT NOT NULL,   -- 0: an older attempt that came late and is never sent
    accepted_at      BIGINT NOT NULL,
    token_expires_at BIGINT NOT NULL,
    sealed_view      TEXT,
    sealed_token     TEXT,
    state            TEXT   NOT NULL,
    cause            TEXT,
    answer           TEXT,
    reason           TEXT,
    asked_at         BIGINT,
    published_at     BIGINT,
    ended_at         BIGINT,
    trace            TEXT               -- W3C traceparent of the request, which no ID system has to send back
);
CREATE INDEX attempt_of_record ON attempt (record_id, submission);
CREATE INDEX attempt_state ON attempt (state, published_at);

CREATE TABLE history (
    entry_id   TEXT   NOT NULL PRIMARY KEY,
    record_id  TEXT   NOT NULL,
    attempt_id TEXT,
    at         BIGINT NOT NULL,
    stage      TEXT   NOT NULL,
    what       TEXT   NOT NULL,
    cause      TEXT,
    who        TEXT   NOT NULL,
    why        TEXT
);
CREATE INDEX history_of_record ON history (record_id, at);

CREATE TABLE ledger_key (
    name   TEXT NOT NULL PRIMARY KEY,
    sealed TEXT NOT NULL
);
