DELETE FROM imgvec.{embedding_table};
