-- All shards with the address of their foreign server and the collections that span them.
SELECT s.name, s.timeout_ms,
       (SELECT coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'host'), '(local socket)') || ':'
               || coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'port'), '5432') || '/'
               || coalesce(max(o.option_value) FILTER (WHERE o.option_name = 'dbname'), '')
        FROM pg_catalog.pg_foreign_server AS f CROSS JOIN LATERAL pg_catalog.pg_options_to_table(f.srvoptions) AS o
        WHERE f.srvname = 'imgvec_shard_' || s.name) AS address,
       ARRAY(SELECT c.name FROM imgvec.sharded_collection AS c WHERE s.name = ANY (c.shards) ORDER BY c.name) AS collections
FROM imgvec.shard AS s
ORDER BY s.name;
