-- What `imgvec doctor` asks of the server and of this session; a halfvec has been touched before, so that pgvector's
-- settings are known.
SELECT current_setting('server_version') AS server_version,
       current_setting('server_version_num')::integer AS server_version_num,
       current_database() AS database_name, current_user AS role_name,
       (SELECT e.extversion FROM pg_extension AS e WHERE e.extname = 'vector') AS pgvector,
       (SELECT a.default_version FROM pg_available_extensions AS a WHERE a.name = 'vector') AS pgvector_offered,
       coalesce(current_setting('hnsw.iterative_scan', true), 'off') AS iterative_scan,
       current_setting('cursor_tuple_fraction')::double precision AS cursor_tuple_fraction,
       current_setting('session_replication_role') AS replication_role,
       pg_is_in_recovery() AS is_standby, current_setting('default_transaction_read_only')::boolean AS is_read_only,
       pg_size_bytes(current_setting('shared_buffers')) AS shared_buffers,
       pg_size_bytes(current_setting('maintenance_work_mem')) AS maintenance_work_mem,
       to_regnamespace('imgvec') IS NOT NULL AS has_schema,
       coalesce(has_schema_privilege(to_regnamespace('imgvec'), 'USAGE'), false) AS may_use_schema;
