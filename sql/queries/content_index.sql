-- Embedding tables (the table itself and its partitions, the parent last), each with its index on the hash of the pictures' bytes, by
-- whatever name; an invalid one only where there is no other.
SELECT c.relname AS table_name, i.relname AS index_name, coalesce(i.indisvalid, false) AS is_valid, c.relkind = 'p' AS is_parent
FROM pg_class AS c
LEFT JOIN LATERAL (
    SELECT k.relname, x.indisvalid
    FROM pg_index AS x JOIN pg_class AS k ON k.oid = x.indexrelid JOIN pg_am AS m ON m.oid = k.relam
    JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[0]
    WHERE x.indrelid = c.oid AND a.attname = 'content_hash' AND m.amname = 'btree' AND x.indpred IS NULL
    ORDER BY x.indisvalid DESC, k.relname
    LIMIT 1
) AS i ON true
WHERE c.oid IN (SELECT %(table)s::regclass::oid UNION SELECT t.relid::oid FROM pg_partition_tree(%(table)s::regclass) AS t)
ORDER BY c.relkind = 'p', c.relname;
