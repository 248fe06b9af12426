-- The partitions of a table that is split by tenant: name, bound as PostgreSQL prints it, and rows as it knows them, the first made first.
SELECT c.relname::text, pg_get_expr(c.relpartbound, c.oid), greatest(c.reltuples, 0)::bigint
FROM pg_partitioned_table AS s
JOIN pg_inherits AS h ON h.inhparent = s.partrelid AND h.inhrelid <> s.partdefid
JOIN pg_class AS c ON c.oid = h.inhrelid
WHERE s.partrelid = %(table)s::regclass
ORDER BY c.oid;
