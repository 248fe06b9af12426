-- Candidates for distinct_found.sql: the pictures nearest by the index, each by a row of it.
SELECT n.*, p.distance
FROM (
    SELECT o.content_hash, o.embedding, o.embedding OPERATOR({vector}.<=>) $1 AS distance
    FROM imgvec.{picture_table} AS o
    ORDER BY o.embedding OPERATOR({vector}.<=>) $1
    LIMIT scanned
) AS p
CROSS JOIN LATERAL (
    SELECT {e_keys}, e.content_hash AS imgvec_hash, {picture_of} AS imgvec_picture
    FROM imgvec.{embedding_table} AS e
    WHERE e.content_hash = p.content_hash AND NOT {vector}.halfvec_ne(e.embedding, p.embedding)
      AND (NOT is_filtered OR {e_key_looked_up})
    LIMIT 1
) AS n
