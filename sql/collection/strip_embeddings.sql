-- What is left is a plain table: key, vector, the hash of the picture, and how and when it was made. Its primary key, its CHECK and
-- its HNSW index stay; policies and grants, which are about roles of imgvec's, go, and so nobody but its owner reads it.
DO $strip$
DECLARE
    held record;
BEGIN
    FOR held IN
        SELECT p.polname, p.polrelid::regclass AS relation FROM pg_catalog.pg_policy AS p
        JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid WHERE c.relnamespace = 'imgvec_kept'::regnamespace
    LOOP
        EXECUTE format('DROP POLICY %I ON %s', held.polname, held.relation);
    END LOOP;
    FOR held IN
        SELECT r.rolname FROM pg_catalog.pg_roles AS r WHERE r.rolname IN ('imgvec_reader', 'imgvec_worker')
    LOOP
        EXECUTE format('REVOKE ALL ON ALL TABLES IN SCHEMA imgvec_kept FROM %I', held.rolname);
    END LOOP;
END
$strip$;
ALTER TABLE imgvec_kept.{embedding_table} DISABLE ROW LEVEL SECURITY;
DROP INDEX IF EXISTS imgvec_kept.{content_index};
ALTER TABLE imgvec_kept.{embedding_table} DROP COLUMN version, DROP COLUMN reference_hash;
COMMENT ON TABLE imgvec_kept.{embedding_table} IS {comment};
