-- When the last failed try of an attempt was noted; NULL while it does not fail.
ALTER TABLE attempt ADD COLUMN failed_at BIGINT;
