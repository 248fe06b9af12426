-- imgvec.index_state(collection): 'ready' when the embedding table and all its partitions, or the table of its pictures, have a valid HNSW index, 'INVALID'
-- when one was left by a build that was cancelled, else 'none'. One that is being built to replace another does not count.
-- STABLE.
CREATE OR REPLACE FUNCTION imgvec.index_state(collection text) RETURNS text
LANGUAGE sql STABLE
BEGIN ATOMIC
    WITH tables AS (
        SELECT c.oid, c.relname
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = 'imgvec'
          AND (c.relname = $1 || '_embedding'
               OR c.oid IN (SELECT t.relid FROM pg_catalog.pg_class AS p JOIN pg_catalog.pg_namespace AS q ON q.oid = p.relnamespace
                            CROSS JOIN LATERAL pg_partition_tree(p.oid) AS t
                            WHERE q.nspname = 'imgvec' AND p.relname = $1 || '_embedding'))
    )
    SELECT CASE WHEN bool_and(coalesce(i.indisvalid, false)) OR EXISTS (
                    SELECT FROM pg_catalog.pg_index AS x JOIN pg_catalog.pg_class AS k ON k.oid = x.indexrelid
                    WHERE x.indrelid = to_regclass('imgvec.' || quote_ident($1 || '_picture'))::oid AND k.relname = $1 || '_picture_hnsw' AND x.indisvalid
                ) THEN 'ready' WHEN bool_or(NOT i.indisvalid) THEN 'INVALID' ELSE 'none' END
    FROM tables AS t
    LEFT JOIN LATERAL (
        SELECT x.indisvalid
        FROM pg_catalog.pg_index AS x
        JOIN pg_catalog.pg_class AS k ON k.oid = x.indexrelid
        JOIN pg_catalog.pg_am AS a ON a.oid = k.relam
        WHERE x.indrelid = t.oid AND a.amname = 'hnsw' AND x.indpred IS NULL
          AND k.relname NOT IN (t.relname || '_next', t.relname || '_old')
        ORDER BY k.relname = t.relname || '_hnsw' DESC, x.indisvalid DESC
        LIMIT 1
    ) AS i ON true;
END;
REVOKE ALL ON FUNCTION imgvec.index_state(text) FROM PUBLIC;
