-- Tables that inherit from a relation without being its partitions; their rows are read with its own, but neither its
-- primary key nor its triggers know them.
SELECT h.inhrelid::regclass::text FROM pg_inherits AS h JOIN pg_class AS c ON c.oid = h.inhrelid
WHERE h.inhparent = %(oid)s AND NOT c.relispartition ORDER BY 1;
