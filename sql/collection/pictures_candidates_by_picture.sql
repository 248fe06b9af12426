-- The different pictures nearest by their own HNSW index with all their rows, for nearest_pictures.sql to choose from: however many
-- rows one has, it is one candidate.
(SELECT {e_keys}, e.content_hash AS imgvec_picture, p.distance
 FROM (
    SELECT o.content_hash, o.embedding, o.embedding OPERATOR({vector}.<=>) {query} AS distance
    FROM imgvec.{picture_table} AS o
    ORDER BY o.embedding OPERATOR({vector}.<=>) {query}
    LIMIT %(candidates)s
 ) AS p
 JOIN imgvec.{embedding_table} AS e
   ON e.content_hash OPERATOR(pg_catalog.=) p.content_hash AND NOT {vector}.halfvec_ne(e.embedding, p.embedding)
 WHERE {e_is_other} AND p.distance IS NOT NULL)
