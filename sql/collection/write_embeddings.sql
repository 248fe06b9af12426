-- Write embeddings of one batch, in key order so that two writers never wait for each other crosswise.
-- A row that has no image any more gets none, even where it was deleted and came back under the same key.
-- (In a CASE, the picture of a view is computed for these rows alone: another's expression may fail.)
-- A newer version is never covered by an older one, nor a newer failure by an older success.
-- Of those written, something is noted of %(note_keys)s (sql/tables/failure.sql); what was noted of the others goes.
WITH written AS (
    INSERT INTO imgvec.{embedding_table} AS e ({keys}, embedding, version, content_hash, reference_hash, precision)
    -- Keys that are one by their type, as of citext: that of the highest version.
    SELECT DISTINCT ON ({w_keys}) {w_keys}, w.embedding, w.version, w.content_hash, w.reference_hash, %(precision)s
    FROM ROWS FROM (
        jsonb_to_recordset(%(keys)s::jsonb) AS ({key_definitions}),
        jsonb_array_elements(%(keys)s::jsonb),
        unnest(%(embeddings)b::{vector}.halfvec[]),
        unnest(%(versions)b::bigint[]),
        unnest(%(content_hashes)b::bytea[]),
        unnest(%(reference_hashes)b::bytea[])
    ) AS w({keys}, key, embedding, version, content_hash, reference_hash)
    WHERE EXISTS (SELECT FROM {source} AS s WHERE {w_equals_s} AND CASE WHEN {w_equals_s} THEN {s_has_image} END)
      -- Most collections have no failure, and then none is looked for.
      AND NOT (
          (SELECT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id}))
          AND EXISTS (
              SELECT FROM imgvec.failure AS f
              WHERE f.collection_id = {collection_id} AND f.key = w.key AND f.version > w.version
              OFFSET 0
          )
      )
    ORDER BY {w_keys}, w.version DESC
    ON CONFLICT ({keys}) DO UPDATE
        SET embedding = excluded.embedding, version = excluded.version, content_hash = excluded.content_hash,
            reference_hash = excluded.reference_hash, precision = excluded.precision, embedded_at = excluded.embedded_at
        WHERE e.version < excluded.version
    RETURNING {e_key} AS key
), cleared AS (
    DELETE FROM imgvec.failure AS f
    USING (
        -- Looked for first: a fill may note something of each picture, and the planner does not know yet how much is there.
        SELECT w.key, w.version
        FROM ROWS FROM (jsonb_array_elements(%(keys)s::jsonb), unnest(%(versions)b::bigint[])) AS w(key, version)
        WHERE (SELECT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id}))
          AND w.key NOT IN (SELECT jsonb_array_elements(%(note_keys)s::jsonb))
          AND EXISTS (
              SELECT FROM imgvec.failure AS g
              WHERE g.collection_id = {collection_id} AND g.key = w.key AND g.version <= w.version
              OFFSET 0
          )
        OFFSET 0
    ) AS w
    WHERE f.collection_id = {collection_id} AND f.key = w.key AND f.version <= w.version
), noted AS (
    INSERT INTO imgvec.failure AS f (collection_id, key, version, code, message, attempts, reference_hash)
    SELECT {collection_id}, b.key, b.version, b.code, b.message, 0, b.reference_hash
    FROM ROWS FROM (
        jsonb_array_elements(%(note_keys)s::jsonb),
        unnest(%(note_versions)s::bigint[]),
        unnest(%(note_codes)s::text[]),
        unnest(%(note_messages)s::text[]),
        unnest(%(note_reference_hashes)s::bytea[])
    ) AS b(key, version, code, message, reference_hash)
    -- A CASE, so that the keys written are hashed and not joined: joins compare each with each here (look_up_by_key.sql).
    WHERE CASE WHEN b.key IN (SELECT w.key FROM written AS w) THEN true END
    ON CONFLICT (collection_id, key) DO UPDATE
        SET version = excluded.version, code = excluded.code, message = excluded.message, attempts = excluded.attempts,
            reference_hash = excluded.reference_hash, failed_at = now()
        WHERE f.version <= excluded.version
)
SELECT count(*) FROM written;
