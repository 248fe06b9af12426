-- File embedded keys whose vector is not what the model gives for their picture, and all other rows of the same pictures, which may have
-- got it from them. Under lock_collection_exclusive.sql. As enqueue_again.sql does, and their hash goes: nobody knows of what bytes these
-- vectors are, so that none is copied again. A key whose embedding has another version meanwhile is left alone. Returns the keys enqueued.
WITH doubtful AS (
    SELECT e.content_hash
    FROM ROWS FROM (
        jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
        unnest(%(versions)s::bigint[])
    ) AS w({keys}, imgvec_version)
    JOIN imgvec.{embedding_table} AS e ON {w_equals_e}
    WHERE e.version = w.imgvec_version AND e.content_hash <> ''
), again AS (
    UPDATE imgvec.{embedding_table} AS e SET version = e.version - 1, content_hash = ''
    WHERE e.content_hash IN (SELECT d.content_hash FROM doubtful AS d)
    RETURNING {e_key} AS key, e.version + 1 AS version
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, s.version, jsonb_agg(s.key)
    FROM (SELECT a.*, (row_number() OVER (PARTITION BY a.version) - 1) / {keys_per_job} AS slice FROM again AS a) AS s
    GROUP BY s.version, s.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT coalesce(sum(key_count), 0)::bigint FROM enqueued;
