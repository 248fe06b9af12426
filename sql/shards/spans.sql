-- All collections that span shards, as their search functions are made of them.
SELECT name, key_columns, key_types, dimensions, passed_settings, shards, model_name, fingerprint FROM imgvec.sharded_collection ORDER BY name;
