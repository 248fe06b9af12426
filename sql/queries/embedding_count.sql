-- Rows that an index build will meet, counted.
SELECT count(*) FROM imgvec.{embedding_table};
