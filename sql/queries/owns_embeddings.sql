-- Whether this role has the rights of an embedding table's owner.
SELECT pg_catalog.pg_has_role(e.relowner, 'USAGE') FROM pg_catalog.pg_class AS e
WHERE e.relnamespace = 'imgvec'::regnamespace::oid AND e.relname = %(table)s::name;
