-- The same of a partitioned table: it takes the partitions' own indexes for its parts, and builds none.
CREATE INDEX {index} ON imgvec.{table} (content_hash);
