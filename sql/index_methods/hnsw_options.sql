-- What stands in WITH (...) of an HNSW index.
m = {m}, ef_construction = {ef_construction}
