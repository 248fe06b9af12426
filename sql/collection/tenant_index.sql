-- By it the rows of one tenant are found, where the key does not begin with the tenant.
CREATE INDEX ON imgvec.{embedding_table} ({tenant});
