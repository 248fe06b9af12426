-- imgvec.rows_visible(collection_id): how much of a collection's source the role that asks may see: 'all', 'some' (row-level
-- security decides row by row) or 'none'. What is told of a row's failure comes from its key and picture columns: who may
-- read those may read it. Who may read imgvec.failure itself (its owner, workers) sees all. STABLE.
CREATE OR REPLACE FUNCTION imgvec.rows_visible(collection_id integer) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    SELECT CASE
        WHEN has_table_privilege('imgvec.failure'::regclass, 'SELECT') THEN 'all'
        WHEN EXISTS (
            SELECT FROM unnest(c.key_columns || c.watch_columns) AS needed(name)
            WHERE NOT EXISTS (
                SELECT FROM pg_catalog.pg_attribute AS a
                WHERE a.attrelid = c.source AND a.attname = needed.name AND NOT a.attisdropped
                  AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
            )
        ) THEN 'none'
        -- A view has no policies of its own: its embeddings have.
        WHEN row_security_active(c.source::oid)
             OR (row_security_active(to_regclass('imgvec.' || quote_ident(c.name || '_embedding'))::oid)
                 AND imgvec.source_hides_rows(c.source::oid)) THEN 'some'
        ELSE 'all'
    END
    FROM imgvec.collection AS c WHERE c.id = $1;
END;
REVOKE ALL ON FUNCTION imgvec.rows_visible(integer) FROM PUBLIC;
