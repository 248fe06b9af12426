-- The same for columns that the user named, by their type's default B-tree operators.
WITH RECURSIVE beneath AS (
    SELECT k.position, a.attname, a.atttypid AS type_id, a.atttypmod AS modifier
    FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS k(name, position)
    JOIN pg_attribute a ON a.attrelid = %(oid)s AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT b.position, b.attname, t.typbasetype, t.typtypmod
    FROM beneath AS b JOIN pg_type AS t ON t.oid = b.type_id AND t.typtype = 'd'
), typed AS (
    SELECT b.*, CASE WHEN EXISTS (SELECT FROM pg_type AS x WHERE x.oid = t.typelem AND x.typtype = 'd') THEN 'd'
            WHEN t.typcategory = 'A' THEN 'a' ELSE t.typtype::text END AS kind,
           -- Kinds of types share one operator class, as varchar does text's.
           CASE WHEN t.typname = 'varchar' THEN 'text'::regtype::oid
                WHEN t.typcategory = 'A' AND t.typelem <> 0 THEN 'anyarray'::regtype::oid
                WHEN t.typtype = 'e' THEN 'anyenum'::regtype::oid
                WHEN t.typtype = 'r' THEN 'anyrange'::regtype::oid
                WHEN t.typtype = 'm' THEN 'anymultirange'::regtype::oid
                WHEN t.typtype = 'c' THEN 'record'::regtype::oid
                ELSE t.oid END AS indexed_type
    FROM beneath AS b JOIN pg_type AS t ON t.oid = b.type_id AND t.typtype <> 'd'
)
SELECT k.attname, format_type(k.type_id, k.modifier), n.nspname, k.kind
FROM typed AS k
JOIN pg_opclass c ON c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.opcdefault AND c.opcintype = k.indexed_type
JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amopstrategy = 3
    AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
JOIN pg_operator p ON p.oid = o.amopopr
JOIN pg_namespace n ON n.oid = p.oprnamespace
ORDER BY k.position;
