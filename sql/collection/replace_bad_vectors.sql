-- Delete the embeddings that find_bad_vectors.sql finds and file their keys at the version they had: no search finds them
-- rightly, and the table's CHECK would refuse even a step back of their version. Returns the keys enqueued.
WITH gone AS (
    DELETE FROM imgvec.{embedding_table} AS e
    WHERE NOT ({vector}.vector_dims(e.embedding) = {dimensions} AND {vector}.l2_norm(e.embedding) BETWEEN 0.999 AND 1.001)
    RETURNING {e_key} AS key, e.version
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, s.version, jsonb_agg(s.key)
    FROM (SELECT g.*, (row_number() OVER (PARTITION BY g.version) - 1) / {keys_per_job} AS slice FROM gone AS g) AS s
    GROUP BY s.version, s.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT coalesce(sum(key_count), 0)::bigint FROM enqueued;
