-- Rows that an index build will meet, as the planner estimates them, and the table's dimensions in bytes.
SELECT greatest(sum(c.reltuples), 0)::bigint AS estimated_rows
FROM pg_partition_tree(%(table)s::regclass) AS t JOIN pg_class AS c ON c.oid = t.relid WHERE t.isleaf;
