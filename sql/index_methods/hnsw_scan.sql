-- What a scan of an HNSW index sets, within search_*: a list of so many candidates.
set_config('hnsw.iterative_scan', CASE WHEN scanned <= {max_ef_search} THEN 'off' ELSE 'relaxed_order' END, true),
set_config('hnsw.ef_search', least({max_ef_search}, scanned)::integer::text, true),
set_config('hnsw.max_scan_tuples', '2147483647', true),
set_config('hnsw.scan_mem_multiplier', '1000', true)
