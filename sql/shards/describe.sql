-- What a shard says of itself and of one collection, as JSON; run there. collection is null where there is none.
SELECT pg_catalog.jsonb_build_object(
    'pgvector', (SELECT e.extversion FROM pg_catalog.pg_extension AS e WHERE e.extname = 'vector'),
    'vector_schema', (SELECT n.nspname FROM pg_catalog.pg_extension AS e JOIN pg_catalog.pg_namespace AS n ON n.oid = e.extnamespace
                      WHERE e.extname = 'vector'),
    'settings', (SELECT pg_catalog.jsonb_object_agg(u.name, pg_catalog.current_setting(u.name, true))
                 FROM pg_catalog.unnest(ARRAY['hnsw.iterative_scan', 'cursor_tuple_fraction']) AS u (name)),
    'database', (SELECT s.system_identifier::text FROM pg_catalog.pg_control_system() AS s) || ' ' || pg_catalog.current_database(),
    'server', pg_catalog.pg_postmaster_start_time()::text,
    'is_standby', pg_catalog.pg_is_in_recovery(),
    'collection', (
        SELECT pg_catalog.jsonb_build_object(
            'key_columns', c.key_columns, 'key_types', c.key_types, 'rendering', pg_catalog.to_jsonb(c) -> 'rendering',
            'bands', pg_catalog.to_jsonb(c) -> 'bands', 'prompt', c.prompt, 'model', m.name, 'dimensions', m.dimensions,
            'fingerprint', m.fingerprint, 'by_picture', coalesce((pg_catalog.to_jsonb(c) ->> 'by_picture')::boolean, false),
            'arguments', (SELECT pg_catalog.max(p.pronargs) FROM pg_catalog.pg_proc AS p
                          WHERE p.pronamespace = 'imgvec'::pg_catalog.regnamespace AND p.proname = 'search_' || c.name)
        )
        FROM imgvec.collection AS c JOIN imgvec.model AS m ON m.id = c.model_id
        WHERE c.name = {collection}
    )
)::text
