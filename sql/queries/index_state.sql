-- Embedding tables (the table itself and its partitions, the parent last), each with its HNSW index, invalid ones too.
-- %(ending)s 'hnsw' is the index that searches use, by its name or else any other over the whole table; 'next' is one
-- being built to replace it, 'old' one that was replaced.
SELECT c.relname AS table_name, i.relname AS index_name, coalesce(i.indisvalid, false) AS is_valid,
       coalesce(pg_relation_size(i.oid), 0) AS index_bytes, c.relkind = 'p' AS is_parent,
       coalesce(i.m, 16) AS m, coalesce(i.ef_construction, 64) AS ef_construction, i.quantization, i.comment
FROM pg_class AS c
LEFT JOIN LATERAL (
    SELECT k.oid, k.relname, x.indisvalid, obj_description(k.oid, 'pg_class') AS comment,
           (SELECT o.option_value::integer FROM pg_options_to_table(k.reloptions) AS o WHERE o.option_name = 'm') AS m,
           (SELECT o.option_value::integer FROM pg_options_to_table(k.reloptions) AS o
            WHERE o.option_name = 'ef_construction') AS ef_construction,
           CASE f.opcname WHEN 'bit_hamming_ops' THEN 'bit' END AS quantization
    FROM pg_index AS x JOIN pg_class AS k ON k.oid = x.indexrelid JOIN pg_am AS a ON a.oid = k.relam
    JOIN pg_opclass AS f ON f.oid = x.indclass[0]
    WHERE x.indrelid = c.oid AND a.amname = 'hnsw' AND x.indpred IS NULL
      AND f.opcname IN ('halfvec_cosine_ops', 'bit_hamming_ops')
      AND (k.relname = c.relname || '_' || %(ending)s
           OR %(ending)s = 'hnsw' AND k.relname NOT IN (c.relname || '_next', c.relname || '_old'))
    ORDER BY k.relname = c.relname || '_' || %(ending)s DESC, x.indisvalid DESC, k.relname
    LIMIT 1
) AS i ON true
-- A table without partitions is in no partition tree.
WHERE c.oid IN (SELECT %(table)s::regclass::oid UNION SELECT t.relid::oid FROM pg_partition_tree(%(table)s::regclass) AS t)
ORDER BY c.relkind = 'p', c.relname;
