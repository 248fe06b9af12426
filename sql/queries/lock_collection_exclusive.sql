-- Taken by every write of failures, for its transaction; see lock_collection_shared.sql. The first number is ours.
SELECT pg_advisory_xact_lock(1768777078, %(collection_id)s);
