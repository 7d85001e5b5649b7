-- What an operator is called for. A row is written with the history entry that says so, and is done when the webhook has
-- taken it or it is too old to be of use.
CREATE TABLE alert (
    alert_id         TEXT   NOT NULL PRIMARY KEY,
    record_id        TEXT   NOT NULL,
    attempt_id       TEXT,
    tracking_id      TEXT   NOT NULL,
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
CREATE INDEX alert_waiting ON alert (next_at) WHERE done_at IS NULL;
CREATE INDEX alert_age ON alert (at);
