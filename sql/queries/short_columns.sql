-- Columns of a relation that are short to print and that this role may read, in the table's order: booleans,
-- dates, enums, addresses, numbers, strings, time spans and uuids; not bytea, json, vectors or arrays.
SELECT a.attname
FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped
  AND (t.typcategory IN ('B', 'D', 'E', 'I', 'N', 'S', 'T') OR 'uuid'::regtype IN (t.oid, t.typbasetype))
  AND has_column_privilege(a.attrelid, a.attnum, 'SELECT')
  AND NOT a.attname = ANY (%(except)s)
ORDER BY a.attnum LIMIT %(limit)s;
