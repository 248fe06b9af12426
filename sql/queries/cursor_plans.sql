-- Who has chosen a setting %(name)s: this database's own default and that of the server's files, as text, each null where there is
-- none; and whether this role has the rights of the database's owner, who may change the former.
SELECT (SELECT pg_catalog.split_part(entry, '='::text, 2)
        FROM pg_catalog.pg_db_role_setting AS s CROSS JOIN LATERAL pg_catalog.unnest(s.setconfig) AS entry
        WHERE s.setdatabase = d.oid AND s.setrole = '0'::oid
          AND pg_catalog.split_part(entry, '='::text, 1) = %(name)s::text),
       -- Seen only where no default of the role hides it.
       (SELECT f.setting FROM pg_catalog.pg_settings AS f
        WHERE f.name = %(name)s::text AND f.source IN ('configuration file', 'command line')),
       pg_catalog.pg_has_role(d.datdba, 'USAGE'::text)
FROM pg_catalog.pg_database AS d WHERE d.datname = pg_catalog.current_database();
