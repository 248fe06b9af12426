-- Embedded rows in the order of their keys: the key as a JSON object, the probability of each label in the labels'
-- order, the asked columns. %(labels)s are the labels' vectors.
SELECT {n_key}, imgvec.label_probabilities(
           ARRAY(
               SELECT 1 - (n.embedding OPERATOR({vector}.<=>) l.embedding)
               FROM unnest(%(labels)s::{vector}.halfvec[]) AS l(embedding)
           ), %(logit_scale)s::float8, %(logit_bias)s::float8),
       ARRAY[{shown}]::pg_catalog.jsonb[]
FROM imgvec.{embedding_table} AS n
JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {n_equals_s}
ORDER BY {n_keys}
LIMIT %(limit)s;
