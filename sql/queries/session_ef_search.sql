-- The session's hnsw.ef_search; the literal loads pgvector, whose settings exist from then on.
SELECT current_setting('hnsw.ef_search') FROM (SELECT '[1]'::{vector}.halfvec OFFSET 0) AS loaded;
