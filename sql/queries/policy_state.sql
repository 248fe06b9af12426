-- Of an embedding table: whether it follows its source's row-level security, whether it has any, whether the source hides rows, and
-- whether this role may change that.
SELECT EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = e.oid AND p.polname = 'follow_source'), e.relrowsecurity,
       imgvec.source_hides_rows(c.source::oid), pg_catalog.pg_has_role(e.relowner, 'USAGE')
FROM imgvec.collection AS c
JOIN pg_catalog.pg_class AS e ON e.relnamespace = 'imgvec'::regnamespace::oid AND e.relname = %(table)s::name
WHERE c.id = %(collection_id)s;
