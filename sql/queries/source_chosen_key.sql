-- The same for columns that the user named, by their type's default B-tree operators.
WITH RECURSIVE chosen AS (
    SELECT k.position, a.attname, a.atttypid, a.atttypmod, a.atttypid AS base
    FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS k(name, position)
    JOIN pg_attribute a ON a.attrelid = %(oid)s AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    -- A domain has its base type's operators.
    SELECT c.position, c.attname, c.atttypid, c.atttypmod, t.typbasetype
    FROM chosen AS c JOIN pg_type AS t ON t.oid = c.base AND t.typtype = 'd'
)
SELECT k.attname, format_type(k.atttypid, k.atttypmod), n.nspname
FROM chosen AS k
JOIN pg_type t ON t.oid = k.base AND t.typtype <> 'd'
JOIN pg_opclass c ON c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.opcdefault
    AND c.opcintype = CASE WHEN t.typname = 'varchar' THEN 'text'::regtype::oid
                           WHEN t.typtype = 'e' THEN 'anyenum'::regtype::oid ELSE t.oid END
JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amopstrategy = 3
    AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
JOIN pg_operator p ON p.oid = o.amopopr
JOIN pg_namespace n ON n.oid = p.oprnamespace
ORDER BY k.position;
