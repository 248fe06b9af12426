-- Failures whose row is gone, and notes on embedded rows whose embedding is.
DELETE FROM imgvec.failure AS f
WHERE f.collection_id = {collection_id}
  AND (NOT EXISTS (
          SELECT FROM jsonb_to_record(f.key) AS k({key_definitions}) JOIN {source} AS s ON {k_equals_s}
      )
      OR (f.code IN ('blank', 'noted') AND NOT EXISTS (
          SELECT FROM jsonb_to_record(f.key) AS r({key_definitions}) JOIN imgvec.{embedding_table} AS e ON {e_equals_r}
      )));
