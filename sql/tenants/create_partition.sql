-- A table that is to become the partition of one tenant. It has no CHECK that says so, by which ATTACH would not have to read it: a row
-- of the source that goes to another tenant takes its copy along by the foreign key, and would be refused.
CREATE TABLE imgvec.{partition} (LIKE imgvec.{embedding_table} INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING INDEXES)
{vacuum_settings};
COMMENT ON TABLE imgvec.{partition} IS {comment};
DO $owner$
BEGIN
    EXECUTE format('ALTER TABLE imgvec.{partition} OWNER TO %s',
                   (SELECT c.relowner::regrole FROM pg_catalog.pg_class AS c WHERE c.oid = 'imgvec.{embedding_table}'::regclass));
END
$owner$;
