-- The HNSW index of one table, built beside running writes.
CREATE INDEX CONCURRENTLY {index} ON imgvec.{table}
    USING hnsw ({indexed}) WITH (m = {m}, ef_construction = {ef_construction});
