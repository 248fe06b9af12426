-- Hashes of the pictures of embedded keys that still have the versions given; vectors of unknown bytes are left out.
SELECT DISTINCT e.content_hash
FROM ROWS FROM (
    jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
    unnest(%(versions)s::bigint[])
) AS w({keys}, imgvec_version)
JOIN imgvec.{embedding_table} AS e ON {w_equals_e}
WHERE e.version = w.imgvec_version AND octet_length(e.content_hash) NOT IN (0, 33);
