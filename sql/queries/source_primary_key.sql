-- The primary key's columns in order, their types, the schema of their equality operator and their kind (see
-- store/guarded_columns.py). Of a domain the type beneath: what its owner checks runs nowhere but in their own table.
WITH RECURSIVE beneath AS (
    SELECT k.position, a.attname, a.atttypid AS type_id, a.atttypmod AS modifier, k.opclass
    FROM pg_index i
    CROSS JOIN LATERAL unnest(i.indkey, i.indclass) WITH ORDINALITY AS k(attnum, opclass, position)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = %(oid)s AND i.indisprimary AND k.position <= i.indnkeyatts
    UNION ALL
    SELECT b.position, b.attname, t.typbasetype, t.typtypmod, b.opclass
    FROM beneath AS b JOIN pg_type AS t ON t.oid = b.type_id AND t.typtype = 'd'
)
SELECT b.attname, format_type(b.type_id, b.modifier), n.nspname, CASE WHEN EXISTS (SELECT FROM pg_type AS x WHERE x.oid = t.typelem AND x.typtype = 'd') THEN 'd'
            WHEN t.typcategory = 'A' THEN 'a' ELSE t.typtype::text END
FROM beneath AS b
JOIN pg_type AS t ON t.oid = b.type_id AND t.typtype <> 'd'
JOIN pg_opclass c ON c.oid = b.opclass
JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amopstrategy = 3
    AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
JOIN pg_operator p ON p.oid = o.amopopr
JOIN pg_namespace n ON n.oid = p.oprnamespace
ORDER BY b.position;
