-- Of types by their names, which a shard printed, the first that is not PostgreSQL's own here; NULL where all are.
SELECT pg_catalog.min(u.name)
FROM pg_catalog.unnest(%(types)s::pg_catalog.text[]) AS u (name)
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = pg_catalog.to_regtype(u.name)
WHERE t.typnamespace IS DISTINCT FROM 'pg_catalog'::pg_catalog.regnamespace;
