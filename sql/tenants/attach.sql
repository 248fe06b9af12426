-- The copy takes the place of the tenant's rows among the small ones. To attach it PostgreSQL reads both
-- tables once.
DELETE FROM imgvec.{small_tenants} AS e WHERE e.{tenant} {tenant_equality} {value}::{tenant_type};
ALTER TABLE imgvec.{embedding_table} ATTACH PARTITION imgvec.{partition} FOR VALUES IN ({value});
COMMENT ON TABLE imgvec.{partition} IS NULL;
