-- Rows with an image and neither an embedding nor a failure: what a backfill that has not listed the source would do.
SELECT count(*)
FROM {source} AS s
WHERE {s_has_image}
  AND NOT EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_s})
  AND NOT EXISTS (SELECT FROM imgvec.failure AS f WHERE f.collection_id = {collection_id} AND f.key = {s_key} AND f.code NOT IN ('blank', 'noted'));
