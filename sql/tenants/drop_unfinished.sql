-- Drop the tables that a stopped run left, which were to become partitions of this collection's table.
DO $unfinished$
DECLARE
    unfinished regclass;
BEGIN
    FOR unfinished IN
        SELECT c.oid FROM pg_catalog.pg_class AS c
        WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
          AND c.relname ~ ('^' || {collection_name} || '_embedding_[0-9]+$') AND starts_with(coalesce(obj_description(c.oid, 'pg_class'), ''), 'imgvec: becomes the partition of tenant ')
    LOOP
        EXECUTE format('DROP TABLE %s', unfinished);
    END LOOP;
END
$unfinished$;
