-- The settings of a scan for the running transaction; each as it was, null while PostgreSQL does not know it.
SELECT s.*,
       set_config('hnsw.iterative_scan', %(hnsw.iterative_scan)s, true),
       set_config('hnsw.ef_search', %(hnsw.ef_search)s, true),
       set_config('hnsw.max_scan_tuples', %(hnsw.max_scan_tuples)s, true),
       set_config('hnsw.scan_mem_multiplier', %(hnsw.scan_mem_multiplier)s, true),
       set_config('enable_sort', %(enable_sort)s, true)
-- OFFSET keeps the two apart: first what they were.
FROM (SELECT current_setting('hnsw.iterative_scan', true) AS "hnsw.iterative_scan",
             current_setting('hnsw.ef_search', true) AS "hnsw.ef_search",
             current_setting('hnsw.max_scan_tuples', true) AS "hnsw.max_scan_tuples",
             current_setting('hnsw.scan_mem_multiplier', true) AS "hnsw.scan_mem_multiplier",
             current_setting('enable_sort') AS enable_sort
      OFFSET 0) AS s;
