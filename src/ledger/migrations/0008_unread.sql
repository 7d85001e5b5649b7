-- Columns that were written and never read. `reference` was the ID system's own text, in clear.
ALTER TABLE record DROP COLUMN route;
ALTER TABLE record DROP COLUMN id_kind;
ALTER TABLE record DROP COLUMN reference;
