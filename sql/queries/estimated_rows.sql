-- Rows of an embedding table as the planner knows them; before the first ANALYZE from its size, a row taking about two
-- bytes a dimension and 100 more.
SELECT coalesce(sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples
                         ELSE pg_relation_size(c.oid) / (2 * %(dimensions)s + 100) END), 0)::bigint
FROM pg_class AS c
WHERE c.relkind = 'r'
  AND c.oid IN (SELECT %(table)s::regclass::oid UNION SELECT t.relid::oid FROM pg_partition_tree(%(table)s::regclass) AS t);
