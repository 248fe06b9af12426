-- Columns of a relation whose type, or that beneath a domain or an array, neither a superuser nor this role has made: a cast of it to json,
-- which to_jsonb looks for, is its owner's.
WITH RECURSIVE beneath AS (
    SELECT a.attname, t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typowner
    FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_type AS t ON t.oid = a.atttypid
    WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT b.attname, t.oid, t.typtype, t.typbasetype, t.typelem, t.typcategory, t.typowner
    FROM beneath AS b JOIN pg_catalog.pg_type AS t
        ON t.oid = CASE WHEN b.typtype = 'd' THEN b.typbasetype WHEN b.typcategory = 'A' THEN b.typelem END
)
SELECT DISTINCT b.attname
FROM beneath AS b JOIN pg_catalog.pg_roles AS r ON r.oid = b.typowner
WHERE b.typtype <> 'd' AND NOT r.rolsuper AND r.rolname <> current_user;
