-- Registers a collection that spans shards, or changes which and how.
INSERT INTO imgvec.sharded_collection (name, shards, key_columns, key_types, dimensions, model_name, fingerprint, passed_settings)
VALUES (%(name)s, %(shards)s, %(key_columns)s, %(key_types)s, %(dimensions)s, %(model_name)s, %(fingerprint)s, %(passed_settings)s)
ON CONFLICT (name) DO UPDATE
SET shards = EXCLUDED.shards, key_columns = EXCLUDED.key_columns, key_types = EXCLUDED.key_types, dimensions = EXCLUDED.dimensions,
    model_name = EXCLUDED.model_name, fingerprint = EXCLUDED.fingerprint, passed_settings = EXCLUDED.passed_settings;
