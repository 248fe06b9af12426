-- The part that reconcile and verify share, after WITH: a page of source rows, and those of them that are not as they
-- should be. missing: has an image and neither an embedding nor a failure. changed: says something else of its picture than
-- when it was embedded; with %(contents)s also one whose bytes are others. tried_again: failed, and says something
-- else than then; with %(contents)s also every failed row that holds bytes. What is queued is none of them. The first listing,
-- without %(reconciles)s, leaves out the changes alone: its own jobs (version 0) are of other pages.
page AS MATERIALIZED (
    SELECT {s_keys}, {s_key} AS imgvec_key, {s_has_image} AS imgvec_has_image,
           CASE WHEN %(reconciles)s THEN {s_reference_hash} END AS imgvec_reference_hash,
           CASE WHEN %(contents)s THEN pg_catalog.sha256({content}) END AS imgvec_content_hash
    FROM {page_source}
    ORDER BY {s_keys}
    LIMIT %(page_size)s
), queued AS MATERIALIZED (
    SELECT pg_catalog.jsonb_array_elements(j.keys) AS key FROM imgvec.job AS j
    WHERE j.collection_id = {collection_id} AND (%(reconciles)s OR (j.version = 0) IS FALSE)
), missing AS (
    SELECT p.imgvec_key AS key
    FROM page AS p
    WHERE p.imgvec_has_image
      AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_p})
      AND NOT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.key = p.imgvec_key AND f.code NOT IN ('blank', 'noted'))
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
), changed AS MATERIALIZED (
    SELECT p.*, e.version AS imgvec_version, e.reference_hash IS DISTINCT FROM p.imgvec_reference_hash AS imgvec_is_moved
    FROM page AS p JOIN imgvec.{embedding_table} AS e ON {e_equals_p}
    WHERE p.imgvec_has_image
      -- An empty hash says that nobody knows of what bytes the vector is, as of one that was adopted.
      AND (e.reference_hash <> p.imgvec_reference_hash OR e.content_hash <> p.imgvec_content_hash AND e.content_hash <> '')
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
), tried_again AS MATERIALIZED (
    SELECT f.key, f.version, f.reference_hash <> p.imgvec_reference_hash AS is_moved
    FROM imgvec.failure AS f JOIN page AS p ON f.key = p.imgvec_key
    WHERE f.collection_id = {collection_id} AND f.code NOT IN ('blank', 'noted')
      AND (f.reference_hash <> p.imgvec_reference_hash OR p.imgvec_content_hash IS NOT NULL)
      AND NOT EXISTS (SELECT FROM queued AS q WHERE q.key = p.imgvec_key)
)
