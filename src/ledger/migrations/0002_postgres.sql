-- What the two databases spell differently: the ledger's clock, and that history is only ever added to.
CREATE VIEW clock AS SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS now_ms;

CREATE FUNCTION history_is_append_only() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'history is append-only'; END $$;
CREATE TRIGGER history_is_kept BEFORE UPDATE OR DELETE ON history
FOR EACH STATEMENT EXECUTE FUNCTION history_is_append_only();
