-- The distances of the nearest rows to one row where the index holds one bit a dimension: the candidates nearest by
-- Hamming distance, then the nearest of these by their full vectors, as searches do it.
SELECT c.distance
FROM (
    SELECT n.distance
    FROM (
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) {query} AS distance,
               {vector}.binary_quantize(e.embedding)::bit({dimensions})
               OPERATOR({vector}.<~>) {vector}.binary_quantize({query})::bit({dimensions}) AS imgvec_bit_distance
        FROM imgvec.{embedding_table} AS e
        WHERE {e_is_other}
    ) AS n {join}
    ORDER BY n.imgvec_bit_distance
    LIMIT %(candidates)s
) AS c
ORDER BY c.distance
LIMIT %(k)s;
