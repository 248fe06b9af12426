-- Who writes or reads embeddings waits before PostgreSQL chooses partitions for the statement: one that had chosen, and waited for the
-- partition of small tenants, would write into it what belongs elsewhere by then, and be refused, or read it and find nothing.
LOCK TABLE ONLY imgvec.{embedding_table} IN ACCESS EXCLUSIVE MODE;
LOCK TABLE imgvec.{small_tenants} IN ACCESS EXCLUSIVE MODE;
