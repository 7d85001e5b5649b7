-- What was parked in a queue has no record: an alert is of an attempt or of a parking place. The outbox is short-lived; what
-- is in it goes with it.
ALTER TABLE alert RENAME TO alert_of_records;
CREATE TABLE alert (
    alert_id         TEXT   NOT NULL PRIMARY KEY,
    record_id        TEXT,
    attempt_id       TEXT,
    tracking_id      TEXT,
    queue            TEXT,
    message_id       TEXT,
    messages         BIGINT,
    cause            TEXT   NOT NULL,
    state            TEXT   NOT NULL,
    at               BIGINT NOT NULL,
    token_expires_at BIGINT,
    claimed_by       TEXT,
    claimed_until    BIGINT NOT NULL DEFAULT 0,
    tries            BIGINT NOT NULL DEFAULT 0,
    next_at          BIGINT NOT NULL,
    done_at          BIGINT
);
INSERT INTO alert (alert_id, record_id, attempt_id, tracking_id, cause, state, at, token_expires_at, claimed_by,
                   claimed_until, tries, next_at, done_at)
    SELECT alert_id, record_id, attempt_id, tracking_id, cause, state, at, token_expires_at, claimed_by,
           claimed_until, tries, next_at, done_at
    FROM alert_of_records;
DROP TABLE alert_of_records;
CREATE INDEX alert_waiting ON alert (next_at) WHERE done_at IS NULL;
CREATE INDEX alert_age ON alert (at);

-- How many messages of a parking place an operator was told of.
CREATE TABLE parking (
    queue TEXT   NOT NULL PRIMARY KEY,
    told  BIGINT NOT NULL
);
