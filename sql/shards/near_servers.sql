-- What near_* of a collection need of the foreign servers of its shards: options as they are, of the servers and of the tables.
SELECT u.name,
       coalesce((SELECT pg_catalog.jsonb_object_agg(o.option_name, o.option_value) FROM pg_catalog.pg_options_to_table(f.srvoptions) AS o), '{{}}')
           AS server_options,
       coalesce((SELECT pg_catalog.jsonb_object_agg(o.option_name, o.option_value)
                 FROM pg_catalog.pg_inherits AS h JOIN pg_catalog.pg_foreign_table AS t ON t.ftrelid = h.inhrelid
                 CROSS JOIN LATERAL pg_catalog.pg_options_to_table(t.ftoptions) AS o
                 WHERE h.inhparent = to_regclass(pg_catalog.format('imgvec.%%I', c.name || '_embedding')) AND t.ftserver = f.oid), '{{}}')
           AS table_options,
       (SELECT pg_catalog.min(h.inhrelid::pg_catalog.regclass::text)
        FROM pg_catalog.pg_inherits AS h JOIN pg_catalog.pg_foreign_table AS t ON t.ftrelid = h.inhrelid
        WHERE h.inhparent = to_regclass(pg_catalog.format('imgvec.%%I', c.name || '_embedding')) AND t.ftserver = f.oid) AS table_name
FROM imgvec.sharded_collection AS c CROSS JOIN LATERAL pg_catalog.unnest(c.shards) WITH ORDINALITY AS u (name, place)
JOIN pg_catalog.pg_foreign_server AS f ON f.srvname = ('imgvec_shard_' || u.name)::name
WHERE c.name = %(name)s
ORDER BY u.place;
