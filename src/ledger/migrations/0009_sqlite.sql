-- `action_id`: the action that an attempt of the events generation answers; NULL in older rows, whose token names it.
-- `token_expires_at` is NULL if the registration came without a token: no token limits the time to answer it.
-- SQLite cannot drop a NOT NULL, so the table is built again.
CREATE TABLE attempt_0009 (
    attempt_id       TEXT   NOT NULL PRIMARY KEY,
    record_id        TEXT   NOT NULL REFERENCES record (record_id),
    stamp            BIGINT NOT NULL,
    submission       BIGINT NOT NULL,   -- 0: an older attempt that came late and is never sent
    accepted_at      BIGINT NOT NULL,
    token_expires_at BIGINT,
    sealed_view      TEXT,
    sealed_token     TEXT,
    state            TEXT   NOT NULL,
    cause            TEXT,
    answer           TEXT,
    reason           TEXT,
    asked_at         BIGINT,
    published_at     BIGINT,
    ended_at         BIGINT,
    trace            TEXT,              -- W3C traceparent of the request, which no ID system has to send back
    recorded_at      BIGINT,
    sent_at          BIGINT,
    warned_for       BIGINT,
    token_since      BIGINT,
    token_try_at     BIGINT,
    token_key        TEXT,
    token_orphaned   BIGINT NOT NULL DEFAULT 0,
    wait_ms          BIGINT NOT NULL DEFAULT 0,
    action_id        TEXT
);
INSERT INTO attempt_0009 (attempt_id, record_id, stamp, submission, accepted_at, token_expires_at, sealed_view,
                          sealed_token, state, cause, answer, reason, asked_at, published_at, ended_at, trace,
                          recorded_at, sent_at, warned_for, token_since, token_try_at, token_key, token_orphaned,
                          wait_ms)
    SELECT attempt_id, record_id, stamp, submission, accepted_at, token_expires_at, sealed_view,
           sealed_token, state, cause, answer, reason, asked_at, published_at, ended_at, trace,
           recorded_at, sent_at, warned_for, token_since, token_try_at, token_key, token_orphaned,
           wait_ms
    FROM attempt;
DROP TABLE attempt;
ALTER TABLE attempt_0009 RENAME TO attempt;
CREATE INDEX attempt_of_record ON attempt (record_id, submission);
CREATE INDEX attempt_state ON attempt (state, published_at);
CREATE INDEX attempt_open_token ON attempt (token_expires_at) WHERE ended_at IS NULL;
CREATE INDEX attempt_ended_sealed ON attempt (ended_at) WHERE sealed_view IS NOT NULL OR sealed_token IS NOT NULL;
