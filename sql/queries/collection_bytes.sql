-- Bytes of an embedding table with its TOAST, and of its indexes; partitions included.
SELECT sum(pg_catalog.pg_table_size(t.oid))::bigint, sum(pg_catalog.pg_indexes_size(t.oid))::bigint
FROM (
    SELECT %(table)s::regclass AS oid
    UNION ALL SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h WHERE h.inhparent = %(table)s::regclass
) AS t;
