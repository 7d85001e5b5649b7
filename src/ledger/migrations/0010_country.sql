-- `number_key` is what must be unique of a registration number: by default the number itself. `number` is the number as
-- OpenCRVS gets it. A row of an older release has its number in both.
ALTER TABLE record RENAME COLUMN number TO number_key;
ALTER TABLE record ADD COLUMN number TEXT;
UPDATE record SET number = number_key;
-- The number that the country gave to this attempt.
ALTER TABLE attempt ADD COLUMN given_number TEXT;
-- When OpenCRVS was read before the ID system was asked, and had the registration.
ALTER TABLE attempt ADD COLUMN checked_at BIGINT;
-- The failed tries since the attempt last moved: the last cause, their count, since when, and when the next try is due.
-- `failing_reported`: the `failing_since` that an operator was told of.
ALTER TABLE attempt ADD COLUMN failure_cause TEXT;
ALTER TABLE attempt ADD COLUMN failures BIGINT NOT NULL DEFAULT 0;
ALTER TABLE attempt ADD COLUMN failing_since BIGINT;
ALTER TABLE attempt ADD COLUMN next_try_at BIGINT;
ALTER TABLE attempt ADD COLUMN failing_reported BIGINT;
-- How an operator decided, and how often the ID system wanted to be asked again later.
ALTER TABLE attempt ADD COLUMN decision TEXT;
ALTER TABLE attempt ADD COLUMN retries BIGINT NOT NULL DEFAULT 0;
-- What an alert is about in detail: the name of a member or the id of another record. No personal data.
ALTER TABLE alert ADD COLUMN detail TEXT;
-- The newest message of a parking queue that an operator was alerted to.
ALTER TABLE parking ADD COLUMN newest TEXT;
-- The installation that this ledger belongs to: one row.
CREATE TABLE deployment (
    id         TEXT   NOT NULL PRIMARY KEY,
    created_at BIGINT NOT NULL
);
