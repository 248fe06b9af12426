-- The library's tables with a foreign key to one of %(tables)s, which are names as SQL reads them.
SELECT DISTINCT r.relname
FROM pg_catalog.pg_constraint AS c
JOIN pg_catalog.pg_class AS r ON r.oid = c.conrelid
WHERE c.contype = 'f' AND r.relnamespace = pg_catalog.to_regnamespace('imgvec')
  AND c.confrelid = ANY (SELECT pg_catalog.to_regclass(name) FROM unnest(%(tables)s::text[]) AS name)
ORDER BY r.relname;
