-- Phase and tuples of index builds running on this table or its partitions, or on that of its pictures.
SELECT p.phase, p.tuples_done, p.tuples_total
FROM pg_stat_progress_create_index AS p
WHERE p.datname = current_database()
  AND p.relid IN (SELECT %(table)s::text::regclass::oid UNION SELECT t.relid::oid FROM pg_partition_tree(%(table)s::text::regclass) AS t
                  UNION SELECT to_regclass(regexp_replace(%(table)s::text, '_embedding$', '_picture'))::oid);
