-- A collection's model, its source's name, and whether that is the relation asked about.
SELECT m.name, coalesce(quote_ident(n.nspname) || '.' || quote_ident(r.relname), '(dropped)'),
       c.source::oid IS NOT DISTINCT FROM to_regclass(nullif(CAST(:source AS text), ''))::oid
FROM imgvec.collection AS c
JOIN imgvec.model AS m ON m.id = c.model_id
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = c.source::oid
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE c.name = :name;
