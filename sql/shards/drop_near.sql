-- near_* of a collection that spans shards, and the tables below; what others have of that name stays.
{drop_functions}
DO $tables$
DECLARE
    child regclass;
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_constraint AS c
               WHERE c.conrelid = to_regclass('imgvec.{embedding_table}') AND c.conname = 'rows_lie_on_shards') THEN
        FOR child IN SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = 'imgvec.{embedding_table}'::regclass LOOP
            EXECUTE format('DROP FOREIGN TABLE %s', child);
        END LOOP;
        DROP TABLE imgvec.{embedding_table};
    END IF;
END
$tables$;
