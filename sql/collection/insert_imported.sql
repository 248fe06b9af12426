-- What was copied into stage_imported.sql's table, in key order.
INSERT INTO imgvec.{embedding_table} ({keys}, embedding, version, content_hash, reference_hash, precision)
SELECT {keys}, embedding, version, content_hash, reference_hash, precision FROM pg_temp.imgvec_imported ORDER BY {keys};
