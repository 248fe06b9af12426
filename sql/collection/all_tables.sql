(SELECT 'imgvec.{embedding_table}'::regclass::oid
              UNION ALL
              SELECT h.inhrelid FROM pg_catalog.pg_inherits AS h
              WHERE h.inhparent = 'imgvec.{embedding_table}'::regclass)
