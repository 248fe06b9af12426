-- pgvector's settings of this session, whose library is loaded: by which a scan of an HNSW index ends.
SELECT current_setting('hnsw.iterative_scan') AS iterative_scan,
       current_setting('hnsw.ef_search')::integer AS ef_search,
       current_setting('hnsw.max_scan_tuples')::integer AS max_scan_tuples,
       current_setting('hnsw.scan_mem_multiplier')::float8 AS scan_mem_multiplier,
       pg_size_bytes(current_setting('work_mem')) AS work_mem_bytes;
