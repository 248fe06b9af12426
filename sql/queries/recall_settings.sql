-- The scan settings of a search with a given ef_search, and how long this transaction's statements may take.
SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', %(ef_search)s::text, true),
       set_config('statement_timeout', %(timeout_ms)s || 'ms', true);
