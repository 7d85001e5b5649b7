-- What an attempt says of its record, which keeps what its newest attempt says. NULL in rows that an older release wrote.
ALTER TABLE attempt ADD COLUMN dialect TEXT;
ALTER TABLE attempt ADD COLUMN kind TEXT;
ALTER TABLE attempt ADD COLUMN tracking_id TEXT;
ALTER TABLE attempt ADD COLUMN office TEXT;
