-- The triggers of a collection on its source and on each partition, and its policy where the source hides rows:
-- which tables these are is known only when this runs.
DO $everywhere$
DECLARE
    place regclass;
BEGIN
    FOR place IN
        SELECT c.oid FROM pg_catalog.pg_class AS c WHERE c.relkind IN ('r', 'p')
            AND (c.oid = {source}::regclass OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_partition_tree({source}::regclass) AS t))
    LOOP
        EXECUTE pg_catalog.replace({triggers}, {placeholder}, place::text);
    END LOOP;
    IF imgvec.source_hides_rows({source}::regclass) THEN
        EXECUTE {row_security};
    END IF;
END
$everywhere$;
