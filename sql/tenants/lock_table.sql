-- Who writes embeddings waits before PostgreSQL chooses a partition for them; who reads waits for that of small tenants alone.
LOCK TABLE ONLY imgvec.{embedding_table} IN SHARE ROW EXCLUSIVE MODE;
LOCK TABLE imgvec.{small_tenants} IN ACCESS EXCLUSIVE MODE;
