-- partitions_seen: which partitions a source had when its embeddings were last compared with its rows, as a hash of their oids; null
-- for never. DROP and DETACH of a partition fire no trigger: a worker that meets others here looks for rows that went.
ALTER TABLE imgvec.collection ADD COLUMN partitions_seen text;
