-- ef_search of a collection whose index is of bits is the number of candidates that are ranked again by their vectors, up to the 20,000 rows
-- that an iterative scan looks at (pgvector src/hnsw.c: the default of hnsw.max_scan_tuples): of ten million rows 1,000 do not reach far.
ALTER TABLE imgvec.collection DROP CONSTRAINT collection_ef_search_range;
ALTER TABLE imgvec.collection ADD CONSTRAINT collection_ef_search_range
    CHECK (ef_search BETWEEN 1 AND CASE WHEN quantization = 'bit' THEN 20000 ELSE 1000 END);
