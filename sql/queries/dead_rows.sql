-- Rows of a table and its partitions that are dead, and all that live, as PostgreSQL's statistics count them.
-- (pg_partition_tree gives nothing for a table that has no partitions; a partitioned one has no rows of its own.)
SELECT coalesce(sum(pg_stat_get_dead_tuples(t.oid)), 0)::bigint, coalesce(sum(pg_stat_get_live_tuples(t.oid)), 0)::bigint
FROM (
    SELECT %(table)s::regclass::oid AS oid
    UNION
    SELECT p.relid::oid FROM pg_partition_tree(%(table)s::regclass) AS p
) AS t;
