-- by_picture: whether searches ask an HNSW index over the different pictures, in imgvec.<name>_picture, in place of one over the rows.
ALTER TABLE imgvec.collection ADD COLUMN by_picture boolean NOT NULL DEFAULT false;
