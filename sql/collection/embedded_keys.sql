-- Keys, as JSON objects, of embedded rows that meet a condition, in the order of the keys.
SELECT {n_key}
FROM imgvec.{embedding_table} AS n
JOIN (SELECT {wanted} FROM {source} WHERE {condition}) AS s ON {n_equals_s}
ORDER BY {n_keys}
LIMIT %(limit)s;
