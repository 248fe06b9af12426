-- Tables that a stopped run left, to become partitions: the name of each, and whose it is to be.
SELECT c.relname::text, substr(obj_description(c.oid, 'pg_class'), length(%(mark)s) + 1)
FROM pg_class AS c
WHERE c.relnamespace = 'imgvec'::regnamespace AND c.relkind = 'r' AND NOT c.relispartition
  AND c.relname ~ %(pattern)s AND starts_with(coalesce(obj_description(c.oid, 'pg_class'), ''), %(mark)s)
ORDER BY c.oid;
