-- The foreign servers of shards with their user mappings and tables, and what near_* read; connections that sessions keep end with them.
DO $servers$
DECLARE
    server_name text;
    mapped text;
    over_shards regclass;
BEGIN
    FOR over_shards IN
        SELECT c.conrelid FROM pg_catalog.pg_constraint AS c JOIN pg_catalog.pg_class AS t ON t.oid = c.conrelid
        WHERE c.conname = 'rows_lie_on_shards' AND c.conparentid = 0 AND c.coninhcount = 0
          AND t.relnamespace = 'imgvec'::pg_catalog.regnamespace AND t.relkind = 'r'
    LOOP
        EXECUTE pg_catalog.format('DROP TABLE %s CASCADE', over_shards);
    END LOOP;
    FOR server_name IN SELECT f.srvname FROM pg_catalog.pg_foreign_server AS f WHERE pg_catalog.starts_with(f.srvname, 'imgvec_shard_') LOOP
        {drop_mapped_server}
    END LOOP;
END
$servers$;
