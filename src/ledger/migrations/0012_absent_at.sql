-- When OpenCRVS turned out not to have the submission of an attempt: the attempt is then not the newest of its record.
ALTER TABLE attempt ADD COLUMN absent_at BIGINT;
