-- The embeddings of a collection on one shard.
CREATE FOREIGN TABLE imgvec.{child} () INHERITS (imgvec.{embedding_table})
SERVER {server} OPTIONS (schema_name 'imgvec', table_name {remote_table}, fetch_size {fetch_size}, updatable 'false');
