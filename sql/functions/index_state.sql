-- imgvec.index_state(collection): 'ready' when the embedding table and all its partitions have a valid index that serves
-- searches, of whatever method, or the table of its different pictures has one; 'INVALID' when one was left by a build that was
-- cancelled, else 'none'. Of one that is split by tenant the large tenants' partitions count. One that is being built to replace another does not count. STABLE.
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
          -- Small tenants are compared: neither their partition nor the table itself has an index.
          AND NOT EXISTS (SELECT FROM pg_catalog.pg_partitioned_table AS s
                          JOIN pg_catalog.pg_class AS p ON p.oid = s.partrelid AND p.relname = $1 || '_embedding'
                          WHERE s.partstrat = 'l' AND c.oid IN (s.partrelid, s.partdefid))
    )
    SELECT CASE WHEN bool_and(coalesce(i.is_valid, false)) OR count(*) = 0 AND EXISTS (
                    SELECT FROM pg_catalog.pg_partitioned_table AS s
                    JOIN pg_catalog.pg_class AS p ON p.oid = s.partrelid AND p.relname = $1 || '_embedding'
                    JOIN pg_catalog.pg_namespace AS q ON q.oid = p.relnamespace AND q.nspname = 'imgvec'
                    WHERE s.partstrat = 'l'
                ) OR EXISTS (
                    SELECT FROM (SELECT to_regclass('imgvec.' || quote_ident($1 || '_picture'))::oid) AS t (oid)
                    CROSS JOIN LATERAL {distance_indexes} AS p
                    WHERE p.name = $1 || '_picture_hnsw' AND p.is_valid
                ) THEN 'ready' WHEN bool_or(NOT i.is_valid) THEN 'INVALID' ELSE 'none' END
    FROM tables AS t
    LEFT JOIN LATERAL (
        SELECT d.is_valid
        FROM {distance_indexes} AS d
        WHERE d.name NOT IN (t.relname || '_next', t.relname || '_old')
        ORDER BY d.name = t.relname || '_' || d.method DESC, d.is_valid DESC
        LIMIT 1
    ) AS i ON true;
END;
REVOKE ALL ON FUNCTION imgvec.index_state(text) FROM PUBLIC;
