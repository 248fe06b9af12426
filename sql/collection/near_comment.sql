-- What near_* promise where the index holds the vectors.
COMMENT ON FUNCTION imgvec.{near}({vector}.halfvec) IS
    'Rows by cosine distance (0 to 2) to a vector; add ORDER BY distance LIMIT k, k up to hnsw.ef_search (40 by default): where PostgreSQL reads the index, LIMIT 100 or a cursor gives 40 rows, and fewer under a filter. For more, or with a filter: search_*(query, k). For all: ORDER BY distance + 0.';
COMMENT ON FUNCTION imgvec.{near_row}({key_types}) IS
    'The other rows by cosine distance (0 to 2) to the row with this key; add ORDER BY distance LIMIT k, k below hnsw.ef_search (40 by default): where PostgreSQL reads the index, LIMIT 100 or a cursor gives 39 rows, and fewer under a filter. For more: search_*(imgvec.embedding_of(...), k). For all: ORDER BY distance + 0.';
COMMENT ON FUNCTION imgvec.{near_text}(text) IS
    'Rows by cosine distance (0 to 2) to words; add ORDER BY distance LIMIT k, k up to hnsw.ef_search (40 by default): where PostgreSQL reads the index, LIMIT 100 or a cursor gives 40 rows, and fewer under a filter. For more, or with a filter: search_*(imgvec.embed_text(...), k). For all: ORDER BY distance + 0.';
