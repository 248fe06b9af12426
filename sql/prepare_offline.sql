-- What `imgvec migrate --sql` begins with: the schema, and the extension in the schema that the rest names, new enough.
-- That it was made here is written down where `imgvec uninstall` looks.
-- Names mean PostgreSQL's own, whatever others have put into schemas on this session's search_path.
SET LOCAL search_path = pg_catalog, pg_temp;
DO $schema$
BEGIN
    IF to_regnamespace('imgvec') IS NULL THEN
        CREATE SCHEMA imgvec;
    END IF;
END
$schema$;
{require_own_schema}
DO $prepare$
DECLARE
    extension record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_extension WHERE extname = 'vector') THEN
        CREATE EXTENSION vector SCHEMA {vector};
        COMMENT ON SCHEMA imgvec IS 'imgvec-pg; created the extension vector';
    END IF;
    SELECT e.extversion, n.nspname INTO extension
    FROM pg_extension AS e JOIN pg_namespace AS n ON n.oid = e.extnamespace WHERE e.extname = 'vector';
    IF extension.nspname <> {vector_name} THEN
        RAISE EXCEPTION 'the extension vector lives in the schema %, this script was made for %', extension.nspname, {vector_name}
            USING HINT = format('Make it anew: imgvec migrate --sql --vector-schema %s', extension.nspname);
    END IF;
    IF string_to_array(substring(extension.extversion FROM '^[0-9.]*[0-9]'), '.')::integer[] < ARRAY[0, 8, 2] THEN
        RAISE EXCEPTION 'pgvector is %, 0.8.2 or newer is needed (CVE-2026-3172)', extension.extversion
            USING HINT = 'Install it on the server, then run: ALTER EXTENSION vector UPDATE';
    END IF;
END
$prepare$;
