-- pgvector's settings for one search transaction: keep scanning until the LIMIT is met, nearest first, and consider as
-- many candidates as the collection was tuned for (null: the session's own), at least as many as rows are wanted
-- (pgvector 0.8 src/hnsw.h: HNSW_MAX_EF_SEARCH 1000).
SELECT set_config('hnsw.iterative_scan', 'strict_order', true),
       set_config('hnsw.ef_search', least(greatest(coalesce(%(ef_search)s::integer, current_setting('hnsw.ef_search')::integer),
                                                   %(k)s), 1000)::text, true);
