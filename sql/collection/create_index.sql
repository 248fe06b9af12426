-- The HNSW index, built beside running writes. halfvec_cosine_ops serves <=>.
CREATE INDEX CONCURRENTLY {index} ON imgvec.{table}
    USING hnsw (embedding {vector}.halfvec_cosine_ops) WITH (m = {m}, ef_construction = {ef_construction});
