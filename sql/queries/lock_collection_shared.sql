-- Taken by every write of embeddings, for its transaction: writes of failures are kept out meanwhile, since
-- "is there a newer failure" and "is there a newer embedding" could otherwise both be answered too early.
SELECT pg_advisory_xact_lock_shared(1768777078, %(collection_id)s);
