-- Embedding tables (the table itself, or its partitions) and their HNSW indexes, invalid ones too.
SELECT c.relname AS table_name, i.relname AS index_name, coalesce(x.indisvalid, false) AS is_valid,
       coalesce(pg_relation_size(i.oid), 0) AS index_bytes, c.relkind = 'p' AS is_parent
FROM pg_partition_tree(%(table)s::regclass) AS t
JOIN pg_class AS c ON c.oid = t.relid
LEFT JOIN (
    pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_am AS a ON a.oid = i.relam AND a.amname = 'hnsw'
) ON x.indrelid = c.oid
ORDER BY t.level DESC, c.relname;
