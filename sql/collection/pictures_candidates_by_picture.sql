-- The different pictures nearest by their own HNSW index with all their rows, for nearest_pictures.sql to choose from: however many
-- rows one has, it is one candidate. Its rows are looked up picture by picture, as shown_pictures.sql does.
(SELECT e.*, p.content_hash AS imgvec_picture, p.distance
 FROM (
    SELECT o.content_hash, o.embedding, o.embedding OPERATOR({vector}.<=>) {query} AS distance
    FROM imgvec.{picture_table} AS o
    ORDER BY o.embedding OPERATOR({vector}.<=>) {query}
    LIMIT %(candidates)s
 ) AS p
 CROSS JOIN LATERAL (
    SELECT {e_keys} FROM imgvec.{embedding_table} AS e
    WHERE e.content_hash OPERATOR(pg_catalog.=) p.content_hash AND NOT {vector}.halfvec_ne(e.embedding, p.embedding) AND {e_is_other}
    {fence}
 ) AS e
 WHERE p.distance IS NOT NULL)
