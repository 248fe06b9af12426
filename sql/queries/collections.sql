-- Collections with their models and sources; %(name)s is a collection's or an alias's name, null for all.
-- The source's names are null when its table is gone.
SELECT c.id, c.name, m.id AS model_id, m.name AS model_name, m.dimensions, m.has_text, n.nspname AS source_schema,
       r.relname AS source_name,
       coalesce(quote_ident(n.nspname) || '.' || quote_ident(r.relname), '(dropped)') AS shown_source,
       c.key_columns, c.key_types, c.key_equality_schemas, c.path_column, c.content_column, c.watch_columns, c.root,
       c.has_foreign_key, c.m, c.ef_construction, c.ef_search, c.quantization, c.prompt,
       c.listed_at IS NOT NULL AS is_listed, c.url_prefixes,
       (SELECT count(*)::integer
        FROM pg_catalog.pg_class AS e
        JOIN pg_catalog.pg_inherits AS i ON i.inhparent = e.oid
        WHERE e.relnamespace = 'imgvec'::regnamespace AND e.relname = (c.name || '_embedding')::name) AS partitions
FROM imgvec.collection AS c
JOIN imgvec.model AS m ON m.id = c.model_id
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = c.source::oid
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE %(name)s::text IS NULL OR c.name = %(name)s
   OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = %(name)s)
ORDER BY c.name;
