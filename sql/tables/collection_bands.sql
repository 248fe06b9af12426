-- bands: which three bands of a TIFF of more than colours are shown red, green and blue, from 1; none for those that a file names so,
-- else its first three (imgvec_pg/images/rendering/bands.py).
ALTER TABLE imgvec.collection
    ADD COLUMN bands integer[] NOT NULL DEFAULT '{{}}',
    ADD CONSTRAINT collection_bands_count CHECK (cardinality(bands) IN (0, 3) AND array_position(bands, NULL) IS NULL);
