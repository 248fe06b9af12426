-- The pictures of the built-in library, whose keys the vectors over it have.
ALTER TABLE imgvec.image SET SCHEMA imgvec_kept;
