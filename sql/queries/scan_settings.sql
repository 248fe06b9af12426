-- pgvector's settings of this session, whose library is loaded: by which a scan of an HNSW or IVFFlat index ends.
SELECT pg_catalog.current_setting('hnsw.iterative_scan') AS iterative_scan,
       pg_catalog.current_setting('hnsw.ef_search')::integer AS ef_search,
       pg_catalog.current_setting('hnsw.max_scan_tuples')::integer AS max_scan_tuples,
       pg_catalog.current_setting('hnsw.scan_mem_multiplier')::float8 AS scan_mem_multiplier,
       pg_catalog.pg_size_bytes(pg_catalog.current_setting('work_mem')) AS work_mem_bytes,
       pg_catalog.current_setting('ivfflat.iterative_scan') AS list_scan,
       pg_catalog.current_setting('ivfflat.probes')::integer AS probes,
       pg_catalog.current_setting('ivfflat.max_probes')::integer AS max_probes;
