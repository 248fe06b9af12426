-- has_radius_index: whether within_* ask imgvec.<name>_coordinates, which is complete and kept so, in place of all vectors.
ALTER TABLE imgvec.collection ADD COLUMN has_radius_index boolean NOT NULL DEFAULT false;
