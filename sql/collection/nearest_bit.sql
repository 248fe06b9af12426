-- nearest.sql where the index holds one bit a dimension: the candidates nearest by Hamming distance, joined with their
-- source, then the k nearest of these by their full vectors. The condition stands in a scope of its own, where a
-- key column is not ambiguous; PostgreSQL pulls that sub-select up. Equal distances are ordered by key.
SELECT found.*
FROM (
    SELECT {selected}
    FROM (
        SELECT {e_keys}, e.embedding OPERATOR({vector}.<=>) {query} AS distance,
               {vector}.binary_quantize(e.embedding)::bit({dimensions})
               OPERATOR({vector}.<~>) {vector}.binary_quantize({query})::bit({dimensions}) AS imgvec_bit_distance
        FROM imgvec.{embedding_table} AS e
        WHERE {e_is_other}
    ) AS n
    JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {n_equals_s}
    ORDER BY n.imgvec_bit_distance
    LIMIT %(candidates)s
) AS found
ORDER BY 2, 1
LIMIT %(k)s;
