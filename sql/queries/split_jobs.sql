-- Replace jobs by one job a key, at the same version; the attempt just claimed is not charged to them.
WITH taken AS (
    DELETE FROM imgvec.job WHERE id = ANY (%(ids)s::bigint[]) AND token = %(token)s
    RETURNING collection_id, version, keys, attempts, deaths
)
INSERT INTO imgvec.job (collection_id, version, keys, attempts, deaths)
SELECT t.collection_id, t.version, pg_catalog.jsonb_build_array(k.key), greatest(t.attempts - 1, 0), t.deaths
FROM taken AS t CROSS JOIN LATERAL jsonb_array_elements(t.keys) AS k(key);
