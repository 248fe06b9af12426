-- The triggers that a source and its partitions should carry, and their state: O and A fire, D and R do not, null is
-- missing. is_source tells the source itself from its partitions.
SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname) AS table_name, c.oid = %(source)s::oid AS is_source,
       w.trigger_name, t.tgenabled::text AS state
-- A table without partitions is in no partition tree.
FROM (SELECT %(source)s::oid AS relid UNION SELECT p.relid FROM pg_partition_tree(%(source)s::oid) AS p) AS tree
JOIN pg_class AS c ON c.oid = tree.relid AND c.relkind IN ('r', 'p')
JOIN pg_namespace AS n ON n.oid = c.relnamespace
CROSS JOIN unnest(%(trigger_names)s::text[]) AS w(trigger_name)
LEFT JOIN pg_trigger AS t ON t.tgrelid = c.oid AND t.tgname = w.trigger_name AND NOT t.tgisinternal
ORDER BY c.oid <> %(source)s::oid, 1, 3;
