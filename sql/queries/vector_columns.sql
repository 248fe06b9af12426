-- Columns of a relation: name, type without its modifier, and the type's name where it is one of pgvector's own (in the schema
-- %(vector)s) that can be adopted (null for others).
SELECT a.attname::text, format_type(a.atttypid, NULL),
       CASE WHEN n.nspname = %(vector)s AND t.typname IN ('vector', 'halfvec') THEN t.typname::text END
FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid JOIN pg_namespace AS n ON n.oid = t.typnamespace
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY a.attnum;
