-- The database's own defaults of the settings %(names)s: each name with "name=value"; no row where it has none.
SELECT pg_catalog.split_part(entry, '='::text, 1), entry
FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry
WHERE s.setdatabase = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
  AND s.setrole = '0'::oid AND pg_catalog.split_part(entry, '='::text, 1) = ANY (%(names)s::text[])
ORDER BY 1;
