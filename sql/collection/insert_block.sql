-- Coordinates of rows compared, under the number of the first.
INSERT INTO imgvec.{duplicate_block_table} (imgvec_number, coordinates) VALUES (%(number)s, %(coordinates)s)
