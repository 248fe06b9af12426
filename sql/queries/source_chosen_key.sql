-- The same for columns that the user named, by their type's default B-tree operators.
SELECT a.attname, format_type(a.atttypid, a.atttypmod), n.nspname
FROM unnest(%(columns)s::text[]) WITH ORDINALITY AS k(name, position)
JOIN pg_attribute a ON a.attrelid = %(oid)s AND a.attname = k.name AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
JOIN pg_opclass c ON c.opcmethod = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.opcdefault
    AND c.opcintype = CASE WHEN t.typname = 'varchar' THEN 'text'::regtype::oid ELSE t.oid END
JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amopstrategy = 3
    AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
JOIN pg_operator p ON p.oid = o.amopopr
JOIN pg_namespace n ON n.oid = p.oprnamespace
ORDER BY k.position;
