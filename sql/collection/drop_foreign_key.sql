-- A foreign key that an earlier release made to a partitioned source.
ALTER TABLE imgvec.{embedding_table} DROP CONSTRAINT IF EXISTS {constraint_name};
