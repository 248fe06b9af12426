-- The access method of the index %(name)s of an embedding table.
SELECT m.amname
FROM pg_catalog.pg_class AS k JOIN pg_catalog.pg_am AS m ON m.oid = k.relam
WHERE k.relnamespace = 'imgvec'::regnamespace::oid AND k.relname = %(name)s;
