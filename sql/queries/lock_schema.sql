-- For this transaction: nobody else migrates, grants, sets words up or uninstalls here. Concurrent changes of the same rows of
-- the catalogs, as by two GRANTs, would end with "tuple concurrently updated".
-- The first number is ours, see lock_collection_shared.sql; no collection has the id 0.
SELECT pg_advisory_xact_lock(1768777078, 0);
