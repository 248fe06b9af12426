-- Failures whose row is gone.
DELETE FROM imgvec.failure AS f
WHERE f.collection_id = {collection_id}
  AND NOT EXISTS (
      SELECT FROM jsonb_to_record(f.key) AS k({key_definitions}) JOIN {source} AS s ON {k_equals_s}
  );
