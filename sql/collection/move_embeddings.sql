-- The embedding table, its partitions and its indexes leave the schema imgvec, without their triggers, before all else of the
-- collection goes.
ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
DO $move$
DECLARE
    moved regclass;
    fired record;
BEGIN
    FOR moved IN
        SELECT t.relid FROM pg_catalog.pg_partition_tree({table_name}::regclass) AS t
        UNION SELECT {table_name}::regclass
    LOOP
        FOR fired IN
            SELECT t.tgname FROM pg_catalog.pg_trigger AS t WHERE t.tgrelid = moved AND NOT t.tgisinternal AND t.tgparentid = 0
        LOOP
            EXECUTE format('DROP TRIGGER %I ON %s', fired.tgname, moved);
        END LOOP;
        EXECUTE format('ALTER TABLE %s SET SCHEMA imgvec_kept', moved);
    END LOOP;
END
$move$;
