(SELECT t.* FROM imgvec.{embedding_table} AS t WHERE t.{tenant} {tenant_equality} $5)
