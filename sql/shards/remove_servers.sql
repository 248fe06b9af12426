-- The foreign servers of shards with their user mappings; connections that sessions keep end with them.
DO $servers$
DECLARE
    server_name text;
BEGIN
    FOR server_name IN SELECT f.srvname FROM pg_catalog.pg_foreign_server AS f WHERE pg_catalog.starts_with(f.srvname, 'imgvec_shard_') LOOP
        EXECUTE pg_catalog.format('DROP SERVER %I CASCADE', server_name);
    END LOOP;
END
$servers$;
