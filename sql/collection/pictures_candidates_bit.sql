-- The same where the index holds one bit a dimension: the rows nearest by Hamming distance that match the condition.
(SELECT c.*
 FROM (
    SELECT {e_keys}, e.content_hash AS imgvec_picture, e.embedding OPERATOR({vector}.<=>) {query} AS distance,
           {vector}.binary_quantize(e.embedding)::bit({dimensions})
           OPERATOR({vector}.<~>) {vector}.binary_quantize({query})::bit({dimensions}) AS imgvec_bit_distance
    FROM imgvec.{embedding_table} AS e
    JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {e_equals_s}
    WHERE {e_is_other}
    ORDER BY imgvec_bit_distance
    LIMIT %(candidates)s
 ) AS c)
