-- One row by its key, a JSON object: the key with its own types as JSON and each column as text, whether the
-- source has the row, and whether it is embedded.
SELECT {k_key}, ARRAY[{k_texts}], EXISTS (SELECT FROM {source} AS s WHERE {k_equals_s}),
       EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_k})
FROM jsonb_to_record(%(key)s::jsonb) AS k({key_definitions});
