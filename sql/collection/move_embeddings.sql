-- The embedding table, its partitions and its indexes leave the schema imgvec, before all else of the collection goes.
ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
DO $move$
DECLARE
    moved regclass;
BEGIN
    FOR moved IN
        SELECT t.relid FROM pg_catalog.pg_partition_tree({table_name}::regclass) AS t
        UNION SELECT {table_name}::regclass
    LOOP
        EXECUTE format('ALTER TABLE %s SET SCHEMA imgvec_kept', moved);
    END LOOP;
END
$move$;
