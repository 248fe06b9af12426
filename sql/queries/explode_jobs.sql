-- Replace leased jobs by one job a key, still leased under the same token: each can then be written alone.
WITH taken AS (
    DELETE FROM imgvec.job WHERE id = ANY (%(ids)s::bigint[]) AND token = %(token)s
    RETURNING collection_id, version, keys, attempts, deaths, token, lease_until
)
INSERT INTO imgvec.job (collection_id, version, keys, attempts, deaths, token, lease_until)
SELECT t.collection_id, t.version, pg_catalog.jsonb_build_array(k.key), t.attempts, t.deaths, t.token, t.lease_until
FROM taken AS t CROSS JOIN LATERAL jsonb_array_elements(t.keys) AS k(key)
RETURNING id, version, keys, attempts, deaths;
