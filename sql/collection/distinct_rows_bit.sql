-- Candidates for distinct_found.sql: the rows nearest by the bits of their vectors.
SELECT {e_keys}, e.content_hash AS imgvec_hash, {picture_of} AS imgvec_picture, e.embedding OPERATOR({vector}.<=>) $1 AS distance
FROM imgvec.{embedding_table} AS e
WHERE NOT is_filtered OR {e_key_among}
ORDER BY {vector}.binary_quantize(e.embedding)::bit({dimensions}) OPERATOR({vector}.<~>) {vector}.binary_quantize($1)::bit({dimensions})
LIMIT candidates
