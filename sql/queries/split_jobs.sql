-- Replace jobs by one job a key, at the same version; the attempt just claimed is not charged to them.
WITH taken AS (
    DELETE FROM imgvec.job WHERE id = ANY (%(ids)s::bigint[]) AND token = %(token)s
    RETURNING collection_id, version, keys, attempts
)
INSERT INTO imgvec.job (collection_id, version, keys, attempts)
SELECT t.collection_id, t.version, jsonb_build_array(k.key), t.attempts - 1
FROM taken AS t CROSS JOIN LATERAL jsonb_array_elements(t.keys) AS k(key);
