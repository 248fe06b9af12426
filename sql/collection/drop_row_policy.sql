-- Before a column of the source is altered that the policy of an embedding table names: until the policy is back, no row is shown.
DROP POLICY IF EXISTS follow_source ON imgvec.{embedding_table};
