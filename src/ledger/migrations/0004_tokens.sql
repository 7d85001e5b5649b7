-- `token_since`: when the token was renewed or replaced last; NULL: it came with the attempt. `token_try_at`: not to be
-- renewed before. `token_key`: the key of auth that it was judged by last, and `token_orphaned` what that said.
ALTER TABLE attempt ADD COLUMN token_since BIGINT;
ALTER TABLE attempt ADD COLUMN token_try_at BIGINT;
ALTER TABLE attempt ADD COLUMN token_key TEXT;
ALTER TABLE attempt ADD COLUMN token_orphaned BIGINT NOT NULL DEFAULT 0;
