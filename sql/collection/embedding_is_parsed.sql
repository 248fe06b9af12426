EXISTS (SELECT FROM imgvec.{embedding_table} AS e WHERE {e_equals_o})
