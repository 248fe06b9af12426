-- The table and all its partitions, outermost first.
SELECT n.nspname, c.relname
FROM pg_partition_tree(%(oid)s) t JOIN pg_class c ON c.oid = t.relid::oid JOIN pg_namespace n ON n.oid = c.relnamespace
ORDER BY t.level, n.nspname, c.relname;
