-- File jobs for one page of source rows, and return the last key looked at (null at the end), the rows looked at, the keys
-- enqueued and how many of those are there because their picture changed unseen.
-- What is missing (differences.sql says what that means) is enqueued with version 0. What changed, looked for only with
-- %(reconciles)s, gets a job with the version of what it replaces: a fresh one would outrank a change that is still
-- uncommitted. The old embedding steps back by one version and is found until the new one covers it; the failure is forgotten.
WITH {differences}, outdated AS (
    UPDATE imgvec.{embedding_table} AS e SET version = p.imgvec_version - 1
    FROM changed AS p WHERE {e_equals_p} AND e.version = p.imgvec_version
    RETURNING p.imgvec_key AS key, p.imgvec_version AS version
), forgotten AS (
    DELETE FROM imgvec.failure AS f USING tried_again AS t
    WHERE f.collection_id = {collection_id} AND f.key = t.key AND f.version = t.version
    RETURNING f.key, f.version
), again AS (
    SELECT a.key, a.version, (row_number() OVER (PARTITION BY a.version) - 1) / {keys_per_job} AS slice
    FROM (
        SELECT m.key, 0 AS version FROM missing AS m
        UNION ALL SELECT o.key, o.version FROM outdated AS o
        UNION ALL SELECT f.key, f.version FROM forgotten AS f
    ) AS a
), enqueued AS (
    INSERT INTO imgvec.job (collection_id, version, keys)
    SELECT {collection_id}, a.version, jsonb_agg(a.key) FROM again AS a GROUP BY a.version, a.slice
    RETURNING jsonb_array_length(keys) AS key_count
)
SELECT (SELECT p.imgvec_key FROM page AS p ORDER BY {p_keys_descending} LIMIT 1) AS last_key,
       (SELECT count(*) FROM page) AS looked_at,
       (SELECT coalesce(sum(key_count), 0) FROM enqueued)::bigint AS enqueued,
       (SELECT count(*) FROM outdated) + (SELECT count(*) FROM forgotten) AS changed;
