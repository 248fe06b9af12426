FOR mapped IN
            SELECT CASE WHEN m.umuser = 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(m.usename) END
            FROM pg_catalog.pg_user_mappings AS m WHERE m.srvname = server_name
        LOOP
            EXECUTE pg_catalog.format('DROP USER MAPPING FOR %s SERVER %I', mapped, server_name);
        END LOOP;
        EXECUTE pg_catalog.format('DROP SERVER IF EXISTS %I', server_name);
