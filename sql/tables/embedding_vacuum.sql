-- Give the tables of vectors that are there the settings for autovacuum that new ones get (collection/vacuum_settings.sql). What
-- somebody has set stays; a table that is busy with an index build, or another role's, stays as it is.
DO $settings$
DECLARE
    missing record;
BEGIN
    FOR missing IN
        SELECT t.oid::regclass AS name, string_agg(format('%s = %s', s.name, s.value), ', ') AS settings
        FROM imgvec.collection AS c
        CROSS JOIN LATERAL (VALUES (c.name || '_embedding'), (c.name || '_picture')) AS n(name)
        JOIN pg_catalog.pg_class AS p ON p.relnamespace = 'imgvec'::regnamespace AND p.relname = n.name::name
        CROSS JOIN LATERAL (SELECT p.oid UNION SELECT i.relid::oid FROM pg_catalog.pg_partition_tree(p.oid) AS i) AS t(oid)
        JOIN pg_catalog.pg_class AS r ON r.oid = t.oid AND r.relkind = 'r'
        CROSS JOIN (VALUES ('autovacuum_vacuum_scale_factor', '0.2'), ('autovacuum_vacuum_threshold', '50'),
                           ('autovacuum_vacuum_insert_scale_factor', '0.2'), ('autovacuum_vacuum_insert_threshold', '1000')
        ) AS s(name, value)
        WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_options_to_table(r.reloptions) AS o WHERE o.option_name = s.name)
        GROUP BY t.oid
    LOOP
        BEGIN
            PERFORM set_config('lock_timeout', '2s', true);
            EXECUTE format('ALTER TABLE %s SET (%s)', missing.name, missing.settings);
        EXCEPTION WHEN lock_not_available OR insufficient_privilege THEN
            RAISE NOTICE 'the settings for autovacuum of % stay as they are: %', missing.name, SQLERRM;
        END;
    END LOOP;
END
$settings$;
