-- Since when an attempt is on record, and when the ID system's queue took its request last: with `published_at` they
-- say where its message should be. `warned_for`: the token's end that an operator was warned of.
ALTER TABLE attempt ADD COLUMN recorded_at BIGINT;
ALTER TABLE attempt ADD COLUMN sent_at BIGINT;
ALTER TABLE attempt ADD COLUMN warned_for BIGINT;
UPDATE attempt SET recorded_at = accepted_at;
UPDATE attempt SET sent_at = published_at WHERE state = 'requested' AND published_at >= asked_at;
CREATE INDEX attempt_open_token ON attempt (token_expires_at) WHERE ended_at IS NULL;
CREATE INDEX attempt_ended_sealed ON attempt (ended_at) WHERE sealed_view IS NOT NULL OR sealed_token IS NOT NULL;
CREATE INDEX record_sealed ON record (newest_attempt) WHERE sealed_id IS NOT NULL;

-- What only one process of the whole installation may do at a time.
CREATE TABLE lease (
    name  TEXT   NOT NULL PRIMARY KEY,
    owner TEXT   NOT NULL,
    until BIGINT NOT NULL
);
