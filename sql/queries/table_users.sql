-- Transactions of others that hold a lock on a table or one of its partitions: DROP INDEX CONCURRENTLY waits for them.
SELECT coalesce(array_agg(DISTINCT l.virtualtransaction), '{}')
FROM pg_catalog.pg_locks AS l
WHERE l.locktype = 'relation' AND l.granted AND l.pid <> pg_catalog.pg_backend_pid()
  AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
  AND l.relation IN (SELECT %(table)s::regclass::oid
                     UNION SELECT t.relid::oid FROM pg_catalog.pg_partition_tree(%(table)s::regclass) AS t);
