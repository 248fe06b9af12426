-- Note which partitions a source had when its embeddings were compared with its rows.
UPDATE imgvec.collection SET partitions_seen = %s WHERE id = %s;
