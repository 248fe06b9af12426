-- What `imgvec duplicates --against` filled for a collection or against it: it is named after both, and a run makes it again.
DO $against$
DECLARE
    table_name text;
BEGIN
    FOR table_name IN
        SELECT DISTINCT c.relname::text FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE k.contype = 'f' AND n.nspname = 'imgvec' AND pg_catalog.strpos(c.relname::text, '_against_') > 0
          AND k.confrelid = ANY (ARRAY(
              SELECT pg_catalog.to_regclass('imgvec.' || pg_catalog.quote_ident(t))::oid FROM pg_catalog.unnest({embedding_names}::text[]) AS t
          ))
          AND pg_catalog.to_regclass('imgvec.' || pg_catalog.quote_ident('duplicate_' || c.relname::text)) IS NOT NULL
    LOOP
        EXECUTE 'DROP VIEW imgvec.' || pg_catalog.quote_ident('duplicate_' || table_name);
        EXECUTE 'DROP TABLE imgvec.' || pg_catalog.quote_ident(table_name);
    END LOOP;
END
$against$;
