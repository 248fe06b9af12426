-- Names of a relation's columns.
SELECT coalesce(array_agg(a.attname::text), '{}')
FROM pg_catalog.pg_attribute AS a
JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s::name AND c.relname = %(name)s::name AND a.attnum > 0 AND NOT a.attisdropped
