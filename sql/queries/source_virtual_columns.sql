-- Columns that are computed as they are read (GENERATED ... VIRTUAL): a statement's transition tables do not hold them.
SELECT a.attname FROM pg_attribute AS a
WHERE a.attrelid = %(oid)s AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = 'v';
