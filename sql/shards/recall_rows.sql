-- How many embedded rows a shard has as its planner knows them, run there; as sql/queries/estimated_rows.sql.
SELECT coalesce(sum(CASE WHEN c.reltuples >= 0 THEN c.reltuples
                         ELSE pg_catalog.pg_relation_size(c.oid) / (2 * {dimensions} + 100) END), 0)::bigint::text, NULL
FROM pg_catalog.pg_class AS c
WHERE c.relkind = 'r'
  AND c.oid IN (SELECT {table}::regclass::oid UNION SELECT t.relid::oid FROM pg_catalog.pg_partition_tree({table}::regclass) AS t)
