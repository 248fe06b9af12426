-- What `imgvec duplicates --against` filled for a collection or against it: it is named after both, and a run makes it again.
DO $against$
DECLARE
    table_name name;
BEGIN
    FOR table_name IN
        SELECT DISTINCT c.relname FROM pg_catalog.pg_constraint AS k JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid
        WHERE k.contype = 'f' AND k.confrelid = ANY (ARRAY(SELECT to_regclass(format('imgvec.%I', t)) FROM unnest({embedding_names}::text[]) AS t))
          AND c.relnamespace = 'imgvec'::regnamespace AND c.relname LIKE '%\_against\_%'
          AND to_regclass(format('imgvec.%I', 'duplicate_' || c.relname)) IS NOT NULL
    LOOP
        EXECUTE format('DROP VIEW imgvec.%I', 'duplicate_' || table_name);
        EXECUTE format('DROP TABLE imgvec.%I', table_name);
    END LOOP;
END
$against$;
