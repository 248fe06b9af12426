-- Coordinates of the rows that the last search for duplicates has seen, under the number of the first row of each block.
COPY (SELECT b.imgvec_number, b.coordinates FROM imgvec.{duplicate_block_table} AS b) TO STDOUT (FORMAT binary)
