-- Phase and tuples of index builds running on this table or its partitions.
SELECT p.phase, p.tuples_done, p.tuples_total
FROM pg_stat_progress_create_index AS p
WHERE p.datname = current_database()
  AND p.relid IN (SELECT %(table)s::regclass::oid UNION SELECT t.relid::oid FROM pg_partition_tree(%(table)s::regclass) AS t);
