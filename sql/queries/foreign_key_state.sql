-- "missing" or "not valid" of an embedding table's foreign key to its source, null where it is neither, and whether this role may
-- mend it.
SELECT CASE WHEN k.oid IS NULL THEN 'missing' WHEN NOT k.convalidated THEN 'not valid' END,
       pg_catalog.pg_has_role(e.relowner, 'USAGE') AND pg_catalog.has_table_privilege(c.source::oid, 'REFERENCES')
FROM imgvec.collection AS c
JOIN pg_catalog.pg_class AS e ON e.relnamespace = 'imgvec'::regnamespace::oid AND e.relname = %(embedding_table)s::name
LEFT JOIN pg_catalog.pg_constraint AS k
    ON k.conrelid = e.oid AND k.contype = 'f' AND k.confrelid = c.source::oid AND k.conparentid = 0
WHERE c.id = %(collection_id)s;
