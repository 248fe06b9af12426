-- Collections with their models and sources; %(name)s is a collection's or an alias's name, null for all.
-- The source's names are null when its table is gone.
SELECT c.id, c.name, m.id AS model_id, m.name AS model_name, m.dimensions, m.has_text, n.nspname AS source_schema,
       r.relname AS source_name,
       coalesce(quote_ident(n.nspname) || '.' || quote_ident(r.relname), '(dropped)') AS shown_source,
       c.key_columns, k.key_types, c.key_equality_schemas, k.key_kinds, k.source_key_types, c.path_column, c.content_column, c.watch_columns, c.root,
       c.has_foreign_key, c.m, c.ef_construction, c.ef_search, c.quantization, c.prompt,
       c.listed_at IS NOT NULL AS is_listed, c.url_prefixes,
       -- By way of jsonb: a schema that is not migrated yet has no such columns, and is searched all the same.
       coalesce((to_jsonb(c) ->> 'rendering')::smallint, 1) AS rendering, (to_jsonb(c) ->> 'rendering_from')::smallint AS rendering_from,
       ARRAY(SELECT b.band::integer
             FROM pg_catalog.jsonb_array_elements_text(coalesce(to_jsonb(c) -> 'bands', '[]')) WITH ORDINALITY AS b(band, place)
             ORDER BY b.place) AS bands,
       coalesce((to_jsonb(c) ->> 'by_picture')::boolean, false) AS by_picture,
       coalesce(to_jsonb(c) ->> 'index_method', 'hnsw') AS index_method, (to_jsonb(c) ->> 'lists')::integer AS lists,
       (to_jsonb(c) ->> 'probes')::integer AS probes, coalesce((to_jsonb(c) ->> 'has_radius_index')::boolean, false) AS has_radius_index,
       coalesce(r.relkind = 'p', false) AS is_partitioned,
       {reads_as} AS reads_as,
       (SELECT count(*)::integer
        FROM pg_catalog.pg_class AS e
        JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = e.oid AND p.partstrat = 'h'
        JOIN pg_catalog.pg_inherits AS i ON i.inhparent = e.oid
        WHERE e.relnamespace = 'imgvec'::regnamespace AND e.relname = (c.name || '_embedding')::name) AS partitions,
       (SELECT a.attname::text
        FROM pg_catalog.pg_class AS e
        JOIN pg_catalog.pg_partitioned_table AS p ON p.partrelid = e.oid AND p.partnatts = 1
        JOIN pg_catalog.pg_attribute AS a ON a.attrelid = e.oid AND a.attnum = p.partattrs[0]
        WHERE e.relnamespace = 'imgvec'::regnamespace AND e.relname = (c.name || '_embedding')::name
          AND cardinality(c.key_columns) > 1) AS partition_by
FROM imgvec.collection AS c
JOIN imgvec.model AS m ON m.id = c.model_id
CROSS JOIN LATERAL (
    SELECT pg_catalog.array_agg(coalesce(b.type_name, u.name) ORDER BY u.position) AS key_types,
           pg_catalog.array_agg(coalesce(b.kind, 'b') ORDER BY u.position) AS key_kinds,
           -- What the source's column is now, where it is of another type of PostgreSQL's own of the same category: bigint for
           -- integer.
           pg_catalog.array_agg(coalesce(s.type_name, b.type_name, u.name) ORDER BY u.position) AS source_key_types
    FROM ROWS FROM (pg_catalog.unnest(c.key_types), pg_catalog.unnest(c.key_columns)) WITH ORDINALITY AS u(name, column_name, position)
    LEFT JOIN LATERAL (
        WITH RECURSIVE beneath AS (
            SELECT a.atttypid AS type_id, a.atttypmod AS modifier FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.source::oid AND a.attname = u.column_name::name AND NOT a.attisdropped
            UNION ALL
            SELECT t.typbasetype, t.typtypmod FROM beneath AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.type_id AND t.typtype = 'd'
        )
        SELECT pg_catalog.format_type(d.type_id, d.modifier) AS type_name
        FROM beneath AS d
        JOIN pg_catalog.pg_type AS t ON t.oid = d.type_id AND t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace::oid
        JOIN pg_catalog.pg_type AS o ON o.oid = to_regtype(u.name)::oid AND o.typcategory = t.typcategory
            AND t.typcategory NOT IN ('A', 'U')
    ) AS s ON true
    LEFT JOIN LATERAL (
        -- Of a domain, which collections of before may have, the type beneath. Kinds are those of store/guarded_columns.py.
        WITH RECURSIVE beneath AS (
            SELECT to_regtype(u.name)::oid AS type_id, -1 AS modifier, 0 AS depth
            UNION ALL
            SELECT t.typbasetype, t.typtypmod, d.depth + 1
            FROM beneath AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.type_id AND t.typtype = 'd'
        )
        SELECT CASE WHEN d.depth > 0 THEN pg_catalog.format_type(d.type_id, d.modifier) END AS type_name,
               CASE WHEN t.typcategory = 'A' THEN 'a' ELSE t.typtype::text END AS kind
        FROM beneath AS d JOIN pg_catalog.pg_type AS t ON t.oid = d.type_id AND t.typtype <> 'd'
    ) AS b ON true
) AS k
LEFT JOIN pg_catalog.pg_class AS r ON r.oid = c.source::oid
LEFT JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace
WHERE %(name)s::text IS NULL OR c.name = %(name)s
   OR c.id = (SELECT a.collection_id FROM imgvec.alias AS a WHERE a.name = %(name)s)
ORDER BY c.name;
