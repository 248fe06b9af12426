-- Embedding tables (the table itself and its partitions, the parent last) and their HNSW indexes, invalid ones too.
SELECT c.relname AS table_name, i.relname AS index_name, coalesce(i.indisvalid, false) AS is_valid,
       coalesce(pg_relation_size(i.oid), 0) AS index_bytes, c.relkind = 'p' AS is_parent
FROM pg_class AS c
LEFT JOIN LATERAL (
    SELECT k.oid, k.relname, x.indisvalid
    FROM pg_index AS x JOIN pg_class AS k ON k.oid = x.indexrelid JOIN pg_am AS a ON a.oid = k.relam
    WHERE x.indrelid = c.oid AND a.amname = 'hnsw'
) AS i ON true
-- A table without partitions is in no partition tree.
WHERE c.oid IN (SELECT %(table)s::regclass UNION SELECT t.relid FROM pg_partition_tree(%(table)s::regclass) AS t)
ORDER BY c.relkind = 'p', c.relname;
