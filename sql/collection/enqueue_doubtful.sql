-- File all rows with pictures whose vectors are not what the model gives for them: one row may have got its vector from another, of this
-- collection or of one with the same model. Under lock_collection_exclusive.sql. As enqueue_again.sql does, and their hash goes: nobody
-- knows of what bytes these vectors are, so that none is copied again. Returns the keys enqueued.
WITH again AS (
    UPDATE imgvec.{embedding_table} AS e SET version = e.version - 1, content_hash = ''
    WHERE e.content_hash = ANY (%(hashes)s)
    RETURNING {e_key} AS key, e.version + 1 AS version
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, s.version, jsonb_agg(s.key)
    FROM (SELECT a.*, (row_number() OVER (PARTITION BY a.version) - 1) / {keys_per_job} AS slice FROM again AS a) AS s
    GROUP BY s.version, s.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT coalesce(sum(key_count), 0)::bigint FROM enqueued;
