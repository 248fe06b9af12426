tenant_table <> 'imgvec.{small_tenants}'::regclass::oid AND 
