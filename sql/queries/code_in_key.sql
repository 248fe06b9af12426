-- What of somebody's own would run where keys of these types are read from JSON or counted by ANALYZE, in our own tables, with our rights:
-- the type and what stands in it, a domain (its check) or a function that tells how far the ends of a range lie apart.
WITH RECURSIVE inside (type_id, key_type) AS (
    SELECT to_regtype(u.name)::oid, u.name FROM unnest(%(types)s::text[]) AS u(name)
    UNION
    SELECT n.type_id, i.key_type
    FROM inside AS i JOIN pg_catalog.pg_type AS t ON t.oid = i.type_id
    CROSS JOIN LATERAL (
        SELECT t.typelem WHERE t.typcategory = 'A'
        UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
        UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range AS r WHERE r.rngtypid = t.oid
        UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range AS r WHERE r.rngmultitypid = t.oid
        UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute AS a
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
    ) AS n (type_id)
    WHERE n.type_id <> 0
)
SELECT i.key_type, CASE WHEN t.typtype = 'd' THEN 'the domain ' || i.type_id::regtype::text ELSE p.oid::regprocedure::text END
FROM inside AS i JOIN pg_catalog.pg_type AS t ON t.oid = i.type_id
LEFT JOIN pg_catalog.pg_range AS r ON r.rngtypid = t.oid
LEFT JOIN pg_catalog.pg_proc AS p ON p.oid = r.rngsubdiff::oid
LEFT JOIN pg_catalog.pg_roles AS o ON o.oid = p.proowner
WHERE t.typtype = 'd' OR NOT o.rolsuper
ORDER BY 1, 2 LIMIT 1;
