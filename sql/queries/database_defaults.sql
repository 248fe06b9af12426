-- The database's own defaults of the settings %(names)s: each name with "name=value"; no row where it has none.
SELECT split_part(entry, '=', 1), entry
FROM pg_db_role_setting AS s CROSS JOIN LATERAL unnest(s.setconfig) AS entry
WHERE s.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database()) AND s.setrole = 0
  AND split_part(entry, '=', 1) = ANY (%(names)s)
ORDER BY 1;
