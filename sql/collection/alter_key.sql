-- Give the key columns of an embedding table other types: {columns} are ALTER COLUMN ... TYPE ..., {old_types} and {types} their names.
-- Where the table is written anew its index over vectors would be built while it is locked: that goes.
ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
DROP POLICY IF EXISTS follow_source ON imgvec.{embedding_table};
DO $index$
DECLARE
    vector_index regclass;
BEGIN
    IF EXISTS (
        SELECT FROM ROWS FROM (unnest({old_types}::text[]), unnest({types}::text[])) AS t(before, after)
        WHERE to_regtype(t.before)::oid <> to_regtype(t.after)::oid
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast AS c WHERE c.castsource = to_regtype(t.before)::oid
                          AND c.casttarget = to_regtype(t.after)::oid AND c.castmethod = 'b')
    ) THEN
        FOR vector_index IN
            SELECT i.index_oid FROM (SELECT 'imgvec.{embedding_table}'::regclass::oid) AS t (oid) CROSS JOIN LATERAL {distance_indexes} AS i
        LOOP
            EXECUTE pg_catalog.format('DROP INDEX %s', vector_index);
        END LOOP;
    END IF;
END
$index$;
ALTER TABLE imgvec.{embedding_table} {columns};
UPDATE imgvec.collection SET key_types = {types} WHERE id = {collection_id};
