-- Embedding tables (the table itself and its partitions, the parent last; of one that is
-- split by tenant the large tenants' partitions alone), each with its index by distance, invalid ones too.
-- %(ending)s 'current' is the index that searches use, of whatever method, by imgvec's name for it or else any other over the
-- whole table; 'next' is one being built to replace it, 'old' one that was replaced.
SELECT t.relname AS table_name, i.name AS index_name, coalesce(i.is_valid, false) AS is_valid,
       coalesce(pg_relation_size(i.index_oid), 0) AS index_bytes, t.relkind = 'p' AS is_parent,
       i.method, coalesce(i.options, jsonb_build_object())::text AS options, i.quantization, obj_description(i.index_oid, 'pg_class') AS comment
FROM pg_class AS t
LEFT JOIN LATERAL (
    SELECT d.*
    FROM {distance_indexes} AS d
    WHERE d.name = t.relname || '_' || %(ending)s
       OR %(ending)s = 'current' AND d.name NOT IN (t.relname || '_next', t.relname || '_old')
    ORDER BY d.name = t.relname || '_' || d.method DESC, d.is_valid DESC, d.name
    LIMIT 1
) AS i ON true
-- A table without partitions is in no partition tree.
WHERE t.oid IN (SELECT %(table)s::regclass::oid UNION SELECT p.relid::oid FROM pg_partition_tree(%(table)s::regclass) AS p)
  -- Where tenants are split, what has an index is each large tenant's partition: small ones are compared.
  AND NOT EXISTS (SELECT FROM pg_partitioned_table AS s
                  WHERE s.partrelid = %(table)s::regclass::oid AND s.partstrat = 'l' AND t.oid IN (s.partrelid, s.partdefid))
ORDER BY t.relkind = 'p', t.relname;
