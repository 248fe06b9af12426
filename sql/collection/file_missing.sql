-- File jobs for one page of source rows, and return the last key looked at (null at the end), the rows looked at, the keys
-- filed and how many of those are there because their picture changed unseen.
-- Missing is a row that has an image and neither an embedding nor a failure: filed with version 0.
-- Changed, looked for only with %(reconciles)s, is a row that says something else of its picture than when it was embedded
-- or failed; with %(contents)s also one whose bytes are others, and every failed row that holds bytes. Its job carries the
-- version of what it replaces: a fresh one would outrank a change that is still uncommitted. The old embedding steps back
-- by one version and is found until the new one covers it; the failure is forgotten.
WITH page AS MATERIALIZED (
    SELECT {s_keys}, {s_key} AS imgvec_key, {s_has_image} AS imgvec_has_image,
           CASE WHEN %(reconciles)s THEN {s_reference_hash} END AS imgvec_reference_hash,
           CASE WHEN %(contents)s THEN pg_catalog.sha256({content}) END AS imgvec_content_hash
    FROM {source} AS s
    {after_condition}
    ORDER BY {s_keys}
    LIMIT %(page_size)s
), queued AS MATERIALIZED (
    SELECT jsonb_array_elements(j.keys) AS key FROM imgvec.job AS j
    WHERE j.collection_id = {collection_id} AND %(reconciles)s
), missing AS (
    SELECT p.imgvec_key AS key
    FROM page AS p
    WHERE p.imgvec_has_image
      AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_p})
      AND NOT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.key = p.imgvec_key)
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
), changed AS MATERIALIZED (
    SELECT p.*, e.version AS imgvec_version
    FROM page AS p JOIN imgvec.{embedding_table} AS e ON {e_equals_p}
    WHERE p.imgvec_has_image
      AND (e.reference_hash <> p.imgvec_reference_hash OR e.content_hash <> p.imgvec_content_hash)
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
), outdated AS (
    UPDATE imgvec.{embedding_table} AS e SET version = p.imgvec_version - 1
    FROM changed AS p WHERE {e_equals_p} AND e.version = p.imgvec_version
    RETURNING p.imgvec_key AS key, p.imgvec_version AS version
), forgotten AS (
    DELETE FROM imgvec.failure AS f USING page AS p
    WHERE f.collection_id = {collection_id} AND f.key = p.imgvec_key
      AND (f.reference_hash <> p.imgvec_reference_hash OR p.imgvec_content_hash IS NOT NULL)
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
    RETURNING f.key, f.version
), again AS (
    SELECT a.key, a.version, (row_number() OVER (PARTITION BY a.version) - 1) / {keys_per_job} AS slice
    FROM (
        SELECT m.key, 0 AS version FROM missing AS m
        UNION ALL SELECT o.key, o.version FROM outdated AS o
        UNION ALL SELECT f.key, f.version FROM forgotten AS f
    ) AS a
), filed AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, a.version, jsonb_agg(a.key) FROM again AS a GROUP BY a.version, a.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT (SELECT p.imgvec_key FROM page AS p ORDER BY {p_keys_descending} LIMIT 1) AS last_key,
       (SELECT count(*) FROM page) AS looked_at,
       (SELECT coalesce(sum(key_count), 0) FROM filed)::bigint AS filed,
       (SELECT count(*) FROM outdated) + (SELECT count(*) FROM forgotten) AS changed;
