-- What became of the columns that a collection's keys and pictures come from, of those that do not fit any more: name, its type
-- now (null when it is gone), what was expected. VIRTUAL columns, which triggers do not see, fit no more. A key column may have another type of PostgreSQL's own of the same category
-- (bigint for integer); what a domain rests on counts.
WITH RECURSIVE wanted AS (
    SELECT w.name, w.expected, w.position
    FROM (
        SELECT k.name, k.type_name AS expected, k.position
        FROM ROWS FROM (pg_catalog.unnest(%(key_columns)s::text[]), pg_catalog.unnest(%(key_types)s::text[])) WITH ORDINALITY AS k(name, type_name, position)
        UNION ALL
        SELECT c.name, CASE c.name WHEN %(path_column)s::text THEN 'text' WHEN %(content_column)s::text THEN 'bytea' END, 1000 + c.position
        FROM pg_catalog.unnest(%(watch_columns)s::text[]) WITH ORDINALITY AS c(name, position)
    ) AS w
), beneath AS (
    SELECT w.name, w.expected, w.position, a.atttypid AS type_id, a.atttypid AS own_type, a.attgenerated = 'v' AS is_virtual
    FROM wanted AS w
    LEFT JOIN pg_catalog.pg_attribute AS a
        ON a.attrelid = %(oid)s::oid AND a.attname = w.name AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.name, b.expected, b.position, t.typbasetype, b.own_type, b.is_virtual
    FROM beneath AS b JOIN pg_catalog.pg_type AS t ON t.oid = b.type_id AND t.typtype = 'd'
)
SELECT b.name, pg_catalog.format_type(b.own_type, NULL) || CASE WHEN b.is_virtual THEN ' GENERATED ... VIRTUAL' ELSE '' END,
       coalesce(b.expected, 'a column of its own or STORED')
FROM beneath AS b
LEFT JOIN pg_catalog.pg_type AS t ON t.oid = b.type_id
LEFT JOIN pg_catalog.pg_type AS e ON e.oid = to_regtype(b.expected)::oid
WHERE t.typtype IS DISTINCT FROM 'd'
  AND (b.own_type IS NULL OR b.is_virtual
       OR (e.oid IS NOT NULL AND t.oid <> e.oid
           AND NOT (t.typcategory = e.typcategory AND t.typcategory NOT IN ('A', 'C', 'E', 'R', 'U'))))
ORDER BY b.position;
