-- The primary key's columns in order, their types and the schema of their equality operator.
SELECT a.attname, format_type(a.atttypid, a.atttypmod), n.nspname
FROM pg_index i
CROSS JOIN LATERAL unnest(i.indkey, i.indclass) WITH ORDINALITY AS k(attnum, opclass, position)
JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
JOIN pg_opclass c ON c.oid = k.opclass
JOIN pg_amop o ON o.amopfamily = c.opcfamily AND o.amopstrategy = 3
    AND o.amoplefttype = c.opcintype AND o.amoprighttype = c.opcintype
JOIN pg_operator p ON p.oid = o.amopopr
JOIN pg_namespace n ON n.oid = p.oprnamespace
WHERE i.indrelid = %(oid)s AND i.indisprimary AND k.position <= i.indnkeyatts
ORDER BY k.position;
