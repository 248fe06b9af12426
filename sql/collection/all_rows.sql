imgvec.{embedding_table}
