-- Record rows that cannot be embedded, and take away what an older image of theirs had left.
-- A row that has meanwhile been embedded from a change as new or newer did not fail.
WITH failed AS (
    SELECT w.*
    FROM ROWS FROM (
        jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
        jsonb_array_elements(%(keys)s::jsonb),
        unnest(%(versions)s::bigint[]),
        unnest(%(codes)s::text[]),
        unnest(%(messages)s::text[]),
        unnest(%(attempts)s::smallint[])
    ) AS w({keys}, imgvec_key, imgvec_version, imgvec_code, imgvec_message, imgvec_attempts)
    WHERE EXISTS (SELECT FROM {source} AS s WHERE {w_equals_s})
), recorded AS (
    INSERT INTO imgvec.failure AS f (collection_id, key, version, code, message, attempts)
    SELECT {collection_id}, w.imgvec_key, w.imgvec_version, w.imgvec_code, w.imgvec_message, w.imgvec_attempts
    FROM failed AS w
    WHERE NOT EXISTS (
        SELECT FROM imgvec.{embedding_table} AS e WHERE {w_equals_e} AND e.version >= w.imgvec_version
    )
    ON CONFLICT (collection_id, key) DO UPDATE
        SET version = excluded.version, code = excluded.code, message = excluded.message,
            attempts = excluded.attempts, failed_at = now(), retry_at = NULL
        WHERE f.version <= excluded.version
    RETURNING f.code
), outdated AS (
    DELETE FROM imgvec.{embedding_table} AS e USING failed AS w
    WHERE {w_equals_e} AND e.version < w.imgvec_version
)
-- A row whose image was set to NULL has nothing to embed: it is noted, so that its old embedding goes, but did not fail.
SELECT count(*) FROM recorded WHERE code <> 'no_image';
