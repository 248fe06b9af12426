-- Have maps of one collection written one after the other.
SELECT pg_advisory_xact_lock(1768777080, %(collection_id)s)
