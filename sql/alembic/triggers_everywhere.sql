-- The triggers of a collection on its source and on each partition, and its policy where the source hides rows:
-- which tables these are is known only when this runs. Over partitions no foreign key is left, and the functions do without.
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
    IF {has_foreign_key} AND EXISTS (SELECT FROM pg_catalog.pg_class AS c WHERE c.oid = {source}::regclass::oid AND c.relkind = 'p') THEN
        ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
        EXECUTE {functions_over_partitions};
    END IF;
    IF imgvec.source_hides_rows({source}::regclass) THEN
        EXECUTE {row_security};
    END IF;
END
$everywhere$;
