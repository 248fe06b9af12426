-- The rows that were embedded last: the key as a JSON object and the asked columns as JSON. A batch is written at one moment:
-- of its rows those with the higher key came later.
SELECT {s_key}, {shown}
FROM (SELECT * FROM imgvec.{embedding_table} ORDER BY embedded_at DESC, {keys_descending} LIMIT %(limit)s) AS e
JOIN (SELECT {wanted} FROM {source}) AS s ON {e_equals_s}
ORDER BY e.embedded_at DESC, {s_keys_descending};
