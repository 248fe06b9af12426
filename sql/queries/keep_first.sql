-- Rows of the first of two collections, while those of the second are looked up.
CREATE TEMP TABLE imgvec_first ON COMMIT DROP AS SELECT * FROM pg_temp.imgvec_row
