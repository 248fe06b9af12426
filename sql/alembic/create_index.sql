-- An HNSW index in a migration.
CREATE INDEX {concurrently} {index_name} ON {table} USING hnsw ({column} {opclass}) WITH (m = {m}, ef_construction = {ef_construction});
