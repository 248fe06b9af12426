-- So that the join below it is planned for as many rows as there are.
ANALYZE pg_temp.imgvec_placed
