-- So that joins of millions of pairs are planned as such.
ANALYZE pg_temp.imgvec_seen, pg_temp.imgvec_near, pg_temp.imgvec_row
