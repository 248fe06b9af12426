(SELECT 'imgvec.{indexed_table}'::regclass::oid)
