-- Record rows that cannot be embedded, and take away what an older image of theirs had left.
-- A row that killed its workers was not read again: its reference is then the one that it has now.
-- A row that has meanwhile been embedded from a change as new or newer did not fail.
WITH failed AS (
    SELECT w.*, coalesce(w.imgvec_read_hash, {s_reference_hash}) AS imgvec_reference_hash
    FROM ROWS FROM (
        jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
        jsonb_array_elements(%(keys)s::jsonb),
        unnest(%(versions)s::bigint[]),
        unnest(%(codes)s::text[]),
        unnest(%(messages)s::text[]),
        unnest(%(attempts)s::smallint[]),
        unnest(%(reference_hashes)s::bytea[])
    ) AS w({keys}, imgvec_key, imgvec_version, imgvec_code, imgvec_message, imgvec_attempts, imgvec_read_hash)
    JOIN {source} AS s ON {w_equals_s}
), recorded AS (
    INSERT INTO imgvec.failure AS f (collection_id, key, version, code, message, attempts, reference_hash)
    SELECT {collection_id}, w.imgvec_key, w.imgvec_version, w.imgvec_code, w.imgvec_message, w.imgvec_attempts,
           w.imgvec_reference_hash
    FROM failed AS w
    WHERE NOT EXISTS (
        SELECT FROM imgvec.{embedding_table} AS e WHERE {w_equals_e} AND e.version >= w.imgvec_version
    )
    ON CONFLICT (collection_id, key) DO UPDATE
        SET version = excluded.version, code = excluded.code, message = excluded.message,
            attempts = excluded.attempts, reference_hash = excluded.reference_hash, failed_at = now()
        WHERE f.version <= excluded.version
    RETURNING f.code
), outdated AS (
    DELETE FROM imgvec.{embedding_table} AS e USING failed AS w
    WHERE {w_equals_e} AND e.version < w.imgvec_version
)
-- Returns the codes recorded. A row whose image was set to NULL has nothing to embed: it is noted, so that its old embedding
-- goes, but did not fail.
SELECT coalesce(array_agg(code), '{{}}') FROM recorded WHERE code <> 'no_image';
