-- The partition of all tenants that have none of their own: it is read by the key, and has no index over vectors.
CREATE TABLE imgvec.{partition} PARTITION OF imgvec.{embedding_table} DEFAULT
{vacuum_settings};
