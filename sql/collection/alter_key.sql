-- Give the key columns of an embedding table other types: {columns} are ALTER COLUMN ... TYPE ..., {old_types} and {types} their names.
-- Where the table is written anew its HNSW index would be built while it is locked: that goes.
ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
DROP POLICY IF EXISTS follow_source ON imgvec.{embedding_table};
DO $index$
DECLARE
    found regclass;
BEGIN
    IF EXISTS (
        SELECT FROM ROWS FROM (unnest({old_types}::text[]), unnest({types}::text[])) AS t(before, after)
        WHERE to_regtype(t.before)::oid <> to_regtype(t.after)::oid
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_cast AS c WHERE c.castsource = to_regtype(t.before)::oid
                          AND c.casttarget = to_regtype(t.after)::oid AND c.castmethod = 'b')
    ) THEN
        FOR found IN
            SELECT x.indexrelid FROM pg_catalog.pg_index AS x
            JOIN pg_catalog.pg_class AS i ON i.oid = x.indexrelid JOIN pg_catalog.pg_am AS a ON a.oid = i.relam
            WHERE x.indrelid = 'imgvec.{embedding_table}'::regclass::oid AND a.amname = 'hnsw'
        LOOP
            EXECUTE pg_catalog.format('DROP INDEX %s', found);
        END LOOP;
    END IF;
END
$index$;
ALTER TABLE imgvec.{embedding_table} {columns};
UPDATE imgvec.collection SET key_types = {types} WHERE id = {collection_id};
