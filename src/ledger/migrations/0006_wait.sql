-- How long after its acceptance the front holds the caller of an attempt: nothing is written to OpenCRVS before that is over.
ALTER TABLE attempt ADD COLUMN wait_ms BIGINT NOT NULL DEFAULT 0;
