-- lock_collection_shared.sql of another collection than the one that is written, without waiting: whoever holds his own must not
-- wait for another's.
SELECT pg_try_advisory_xact_lock_shared(1768777078, %(collection_id)s);
