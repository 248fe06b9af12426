-- File embedded keys again: the embedding steps back by one version and is found until the new one covers it, the job has the
-- version that it had. A key whose embedding has another version meanwhile is left alone. Returns the keys enqueued.
WITH again AS (
    UPDATE imgvec.{embedding_table} AS e SET version = w.imgvec_version - 1
    FROM ROWS FROM (
        jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
        jsonb_array_elements(%(keys)s::jsonb),
        unnest(%(versions)s::bigint[])
    ) AS w({keys}, imgvec_key, imgvec_version)
    WHERE {w_equals_e} AND e.version = w.imgvec_version
    RETURNING w.imgvec_key AS key, w.imgvec_version AS version
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, s.version, jsonb_agg(s.key)
    FROM (SELECT a.*, (row_number() OVER (PARTITION BY a.version) - 1) / {keys_per_job} AS slice FROM again AS a) AS s
    GROUP BY s.version, s.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT coalesce(sum(key_count), 0)::bigint FROM enqueued;
