-- Failures of the first fill go where a row has a vector now. Under lock_collection_exclusive.sql.
DELETE FROM imgvec.failure AS f
WHERE f.collection_id = {collection_id} AND f.version <= 0 AND f.code NOT IN ('blank', 'noted')
  AND EXISTS (SELECT FROM jsonb_to_record(f.key) AS r({key_definitions}) JOIN imgvec.{embedding_table} AS e ON {e_equals_r});
