-- The index of a partitioned embedding table: a frame on the parent, filled by attaching the partitions' own.
CREATE INDEX {index} ON ONLY imgvec.{table} USING {method} ({indexed}) WITH ({options});
