-- `action_id`: the action that an attempt of the events generation answers; NULL in older rows, whose token names it.
-- `token_expires_at` is NULL if the registration came without a token: no token limits the time to answer it.
ALTER TABLE attempt ADD COLUMN action_id TEXT;
ALTER TABLE attempt ALTER COLUMN token_expires_at DROP NOT NULL;
