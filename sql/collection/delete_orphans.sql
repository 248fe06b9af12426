-- Embeddings whose row is gone or has no image any more. Only possible where no trigger or foreign key
-- could see the change.
DELETE FROM imgvec.{embedding_table} AS e
WHERE NOT EXISTS (SELECT FROM {source} AS s WHERE {e_equals_s} AND CASE WHEN {e_equals_s} THEN {s_has_image} END);
