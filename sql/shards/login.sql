-- How this role reaches a shard and as whom it logs in there; NULL where it has no mapping, or may not see its own.
SELECT (SELECT pg_catalog.jsonb_object_agg(o.option_name, o.option_value) FROM pg_catalog.pg_options_to_table(f.srvoptions) AS o),
       (SELECT coalesce((SELECT pg_catalog.jsonb_object_agg(o.option_name, o.option_value) FROM pg_catalog.pg_options_to_table(m.umoptions) AS o), '{{}}')
        FROM pg_catalog.pg_user_mappings AS m
        WHERE m.srvid = f.oid AND m.umuser IN (0, pg_catalog.quote_ident(current_user)::pg_catalog.regrole::oid)
        ORDER BY m.umuser DESC LIMIT 1)
FROM pg_catalog.pg_foreign_server AS f WHERE f.srvname = %(server)s;
