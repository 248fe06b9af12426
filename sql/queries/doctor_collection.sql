-- What the catalogue says of a collection's source and embedding table: kind, columns with their types, names of the embedding table's, whether
-- it hides rows from some, foreign key (null when missing), subscriptions that write the source.
SELECT c.source::oid AS source, r.relkind::text AS kind,
       -- Of a domain the type beneath.
       (SELECT jsonb_object_agg(a.attname, (
            WITH RECURSIVE beneath AS (
                SELECT a.atttypid AS type_id, a.atttypmod AS modifier
                UNION ALL
                SELECT t.typbasetype, t.typtypmod FROM beneath AS b JOIN pg_type AS t ON t.oid = b.type_id AND t.typtype = 'd'
            )
            SELECT format_type(b.type_id, b.modifier) FROM beneath AS b JOIN pg_type AS t ON t.oid = b.type_id WHERE t.typtype <> 'd'))
        FROM pg_attribute AS a WHERE a.attrelid = c.source::oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns,
       (SELECT o.rolname::text FROM pg_roles AS o WHERE o.oid = r.relowner AND r.relkind = 'v' AND NOT o.rolsuper) AS view_owner,
       (SELECT pg_catalog.string_agg(m.rolname::text, ', ' ORDER BY m.rolname::text) FROM pg_roles AS m
        WHERE r.relkind = 'v' AND m.oid <> r.relowner AND NOT m.rolsuper AND m.rolcanlogin
          AND to_regrole('imgvec_worker') IS NOT NULL AND pg_catalog.pg_has_role(m.oid, to_regrole('imgvec_worker')::oid, 'MEMBER')) AS view_readers,
       (SELECT pg_catalog.string_agg(u.message, '; ') FROM (
            SELECT DISTINCT u.message FROM imgvec.unseen_change AS u WHERE u.collection_id = c.id LIMIT 3) AS u) AS unseen,
       coalesce(imgvec.source_hides_rows(r.oid), false) AS source_has_policies,
       e.oid AS embedding_table,
       (SELECT coalesce(array_agg(a.attname::text), '{}') FROM pg_attribute AS a WHERE a.attrelid = e.oid AND a.attnum > 0 AND NOT a.attisdropped)
           AS embedding_columns,
       EXISTS (SELECT FROM pg_catalog.pg_policy AS p WHERE p.polrelid = e.oid AND p.polname = 'follow_source') AS embeddings_have_policies,
       (SELECT k.convalidated FROM pg_constraint AS k
        WHERE k.conrelid = e.oid AND k.contype = 'f' AND k.confrelid = c.source::oid AND k.conparentid = 0) AS foreign_key,
       (SELECT string_agg(DISTINCT quote_ident(s.subname), ', ')
        FROM pg_subscription_rel AS sr JOIN pg_subscription AS s ON s.oid = sr.srsubid
        WHERE sr.srrelid = c.source::oid
           OR sr.srrelid IN (SELECT p.relid::oid FROM pg_partition_tree(c.source) AS p)) AS subscriptions,
       -- reltuples is -1 before the first ANALYZE; a row takes about two bytes a dimension and 100 more.
       (SELECT coalesce(sum(CASE WHEN p.reltuples >= 0 THEN p.reltuples
                                 ELSE pg_relation_size(p.oid) / (2 * m.dimensions + 100) END), 0)::bigint
        FROM pg_class AS p
        WHERE p.relkind = 'r' AND (p.oid = e.oid OR p.oid IN (SELECT t.relid::oid FROM pg_partition_tree(e.oid) AS t))
       ) AS estimated_rows
FROM imgvec.collection AS c
JOIN imgvec.model AS m ON m.id = c.model_id
LEFT JOIN pg_class AS r ON r.oid = c.source::oid
LEFT JOIN pg_class AS e ON e.relnamespace = 'imgvec'::regnamespace::oid AND e.relname = c.name || '_embedding'
WHERE c.id = %(collection_id)s;
